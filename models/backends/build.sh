#!/usr/bin/env bash
# Builds ggml's backend for one kind of graphics card, from the very sources that megabrain-llm is built from, and puts
# it where megabrain-llm looks for it. Nothing else needs to be built again.
#
#   models/backends/build.sh cuda      NVIDIA, by CUDA; needs nvcc
#   models/backends/build.sh hip       Radeon, by ROCm; needs hipcc
#   models/backends/build.sh vulkan    any card, by Vulkan; needs glslc
#   models/backends/build.sh sources   builds nothing: says where these sources lie
#
# All need cmake, ninja and a C++ compiler. Settings, from the environment:
#   CUDA_ARCHITECTURES   compute capabilities, as CMake writes them: "90", "89-real;120-real"  [default: the cards here]
#   AMDGPU_TARGETS       "gfx1100", "gfx1100;gfx1201"                                          [default: the cards here]
#   VULKAN_INCLUDE       folder with recent Vulkan and SPIR-V headers                          [default: looked for]
#   LLAMA_CPP            folder with llama.cpp's sources, for a machine without cargo          [default: the crate's]
#   JOBS                 compilers at the same time                                            [default: all cores]
# A reader that stops early would end a writer, and so this script: sed and awk read to the end, unlike head.
set -euo pipefail

kind=${1:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain
work=${CARGO_TARGET_DIR:-$here/target}/backends
oldest_vulkan=1.4.0

fail() { echo "build.sh: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing: $2"; }

# The folder of llama.cpp inside the crate that Cargo.lock pins.
sources() {
    local manifest
    if [ -n "${LLAMA_CPP:-}" ]; then echo "$LLAMA_CPP"; return; fi
    manifest=$(cargo metadata --manifest-path "$here/Cargo.toml" --format-version 1 --locked |
        grep -o '"manifest_path":"[^"]*/llama-cpp-sys-2-[^"/]*/Cargo.toml"' | sed -n 1p | cut -d '"' -f 4)
    [ -n "$manifest" ] || fail "cargo metadata does not know llama-cpp-sys-2"
    echo "$(dirname "$manifest")/llama.cpp"
}

# Prints the version of the Vulkan headers in a folder, as 1.4.309.
vulkan_version() {
    awk '/define VK_HEADER_VERSION /          { patch = $3 }
         /define VK_HEADER_VERSION_COMPLETE / { gsub(/[(),]/, " "); print $5 "." $6 "." patch }' \
        "$1/vulkan/vulkan_core.h" 2>/dev/null
}

is_recent() {
    local version
    version=$(vulkan_version "$1")
    [ -n "$version" ] && [ -e "$1/spirv/unified1/spirv.hpp" ] &&
        [ "$(printf '%s\n' "$oldest_vulkan" "$version" | sort -V | sed -n 1p)" = "$oldest_vulkan" ]
}

# Headers only, of the next Debian, unpacked to a folder of ours: nothing is installed. The mirror and its key are the
# ones that this machine's apt already uses.
headers_from_debian() {
    local folder=$work/vulkan-headers mirror
    # shellcheck disable=SC2016 # apt's own placeholder
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null |
        grep -v security | sed -n 1p)
    [ -n "$mirror" ] || return 1
    mkdir -p "$folder/lists/partial" "$folder/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$folder/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache::Archives=$folder/archives" -o APT::Sandbox::User=root
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    "${apt[@]}" update >&2
    (cd "$folder" && "${apt[@]}" download libvulkan-dev spirv-headers >&2 &&
        for package in *.deb; do dpkg -x "$package" unpacked; done)
    echo "$folder/unpacked/usr/include"
}

vulkan_include() {
    local folder
    for folder in "${VULKAN_INCLUDE:-}" "${VULKAN_SDK:+$VULKAN_SDK/include}" /usr/include \
        "$work/vulkan-headers/unpacked/usr/include"; do
        if [ -n "$folder" ] && is_recent "$folder"; then echo "$folder"; return; fi
    done
    headers_from_debian ||
        fail "Vulkan headers of $oldest_vulkan or later and SPIR-V headers are needed: set VULKAN_INCLUDE to their folder"
}

flags=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF -DGGML_CPU=OFF
    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_SERVER=OFF
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF)
case $kind in
    sources) sources; exit ;;
    cuda)
        need nvcc "install the CUDA toolkit"
        flags+=(-DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES:-native}")
        ;;
    hip)
        need hipcc "install ROCm's HIP SDK"
        export HIPCXX=${HIPCXX:-$(hipconfig -l)/clang} HIP_PATH=${HIP_PATH:-$(hipconfig -R)}
        flags+=(-DGGML_HIP=ON)
        if [ -n "${AMDGPU_TARGETS:-}" ]; then flags+=("-DGPU_TARGETS=$AMDGPU_TARGETS"); fi
        ;;
    vulkan)
        need glslc "install glslc, or the Vulkan SDK"
        include=$(vulkan_include)
        echo "build.sh: Vulkan headers $(vulkan_version "$include") in $include"
        loader=$(ldconfig -p | awk '/libvulkan\.so(\.1)? / && !found++ { print $NF }')
        [ -n "$loader" ] || fail "libvulkan.so.1 is missing: install the Vulkan loader"
        flags+=(-DGGML_VULKAN=ON "-DVulkan_INCLUDE_DIR=$include" "-DVulkan_LIBRARY=$loader"
            "-DCMAKE_PREFIX_PATH=$(dirname "$include")")
        ;;
    *) fail "say which backend: cuda, hip or vulkan" ;;
esac
need cmake "install it"
need ninja "install it (ninja-build)"

llama=$(sources)
build=$work/$kind
echo "build.sh: ggml-$kind of $llama"
cmake -S "$llama" -B "$build" "${flags[@]}"
cmake --build "$build" --target "ggml-$kind" --parallel "${JOBS:-$(nproc)}"
library=$(find "$build" -name "libggml-$kind.so" -type f | sed -n 1p)
[ -n "$library" ] || fail "the build made no libggml-$kind.so"
mkdir -p "$cache/backends"
# Moved into place whole: a model that starts meanwhile sees the old one or the new one.
cp "$library" "$cache/backends/.libggml-$kind.so.new"
mv "$cache/backends/.libggml-$kind.so.new" "$cache/backends/libggml-$kind.so"
echo "build.sh: $cache/backends/libggml-$kind.so is in place; megabrain devices shows what it finds"
