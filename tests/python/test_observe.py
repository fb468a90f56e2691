"""Do the rules and the dashboard of observe/ read what a brain tells? By its real /metrics, in a real Prometheus."""

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import openai
import pytest
from brain import ROOT

OBSERVE = ROOT / "observe"
RULES = sorted((OBSERVE / "rules").glob("*.yml"))
DASHBOARD = json.loads((OBSERVE / "grafana" / "dashboards" / "megabrain.json").read_text())
# What Grafana puts in for its variables.
VARIABLES = {"$__rate_interval": "1m", "$model": ".*"}
# Series that there are only when something went wrong.
OF_FAULTS = ("ALERTS", 'status!="ok"')


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def queries() -> list[str]:
    """Every query of the dashboard, as Grafana sends it."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def exported(page: str) -> set[str]:
    """The names that samples on a page of metrics can have."""
    names = set()
    for family, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
        names.update(family + ending for ending in endings)
    return names


def prometheus_text(page: str) -> str:
    """The page in the older format that promtool's linter reads: there, a counter's family has the name of its samples."""
    counters = re.findall(r"^# TYPE (\S+) counter$", page, re.MULTILINE)
    for name in counters:
        page = re.sub(rf"^# (TYPE|HELP) {name} ", rf"# \1 {name}_total ", page, flags=re.MULTILINE)
    return re.sub(r"^# (EOF|UNIT .*)\n", "", page, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def tools():
    """The folder of promtool and prometheus."""
    found = subprocess.run([ROOT / "scripts" / "prometheus.sh"], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.fail(found.stderr, pytrace=False)
    return found.stdout.strip()


@pytest.fixture(scope="module")
def asked(doors):
    """A brain that has been asked something of every kind that is counted."""
    with openai.OpenAI(base_url=f"{doors.http}/v1", api_key="x", max_retries=0, timeout=60) as client:
        message = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8}
        for model in ("fast", "brain"):
            assert [*client.chat.completions.create(model=model, stream=True, **message)]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
    return doors


def test_every_name_in_rules_and_dashboard_is_exported(asked):
    page = get(f"{asked.http}/metrics")
    # Expressions only: annotations are prose.
    texts = [re.sub(r"^ *(summary|description|#).*$", "", file.read_text(), flags=re.MULTILINE) for file in RULES]
    recorded = {name for text in texts for name in re.findall(r"record: (\S+)", text)}
    named = set(re.findall(r"\bmegabrain[:_][a-z0-9_:]+", " ".join([*texts, *queries()])))
    assert not named - recorded - exported(page)
    assert len(named) > 15


def test_tokens_and_seconds_of_a_model_are_counted(asked):
    def count(figure: str) -> float:
        page = get(f"{asked.http}/metrics")
        [count] = re.findall(rf'^megabrain_model_{figure}{{model="fast".*}} (\S+)$', page, re.MULTILINE)
        return float(count)

    # Models tell of themselves once a second.
    for figure in ("finished", "took_seconds", "prompt_tokens", "completion_tokens"):
        until(lambda figure=figure: count(figure) > 0)


def test_the_metrics_are_written_as_prometheus_likes_them(asked, tools):
    page = get(f"{asked.http}/metrics")
    assert page.endswith("# EOF\n")
    check = [f"{tools}/promtool", "check", "metrics"]
    lint = subprocess.run(check, input=prometheus_text(page), capture_output=True, text=True)
    assert (lint.returncode, lint.stderr) == (0, "")


def test_a_real_prometheus_answers_every_query_of_the_dashboard(asked, tools, tmp_path):
    with prometheus(tools, tmp_path, asked.http.removeprefix("http://")) as address:
        until(lambda: query(address, 'up{job="megabrain"} == 1'))
        # Rates need two looks, and what is recorded a third.
        until(lambda: query(address, "megabrain:model_restarts:increase15m"))
        empty = [text for text in queries() if not query(address, text) and not any(word in text for word in OF_FAULTS)]
        assert not empty
        health = {rule["name"]: rule["health"] for rule in rules(address)}
        assert set(health.values()) == {"ok"}, health


@contextlib.contextmanager
def prometheus(tools, folder, target):
    """A Prometheus with our configuration but for the address of the brain and the time between two looks."""
    config = (OBSERVE / "prometheus.yml").read_text()
    rule_files = f"{OBSERVE}/rules/*.yml"
    for ours, here in [("brain:8080", target), ("rules/*.yml", rule_files), ("interval: 5s", "interval: 500ms")]:
        assert ours in config
        config = config.replace(ours, here)
    (folder / "prometheus.yml").write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    arguments += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([f"{tools}/prometheus", *arguments], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    except AssertionError:
        print((folder / "log").read_text())
        raise
    finally:
        server.terminate()
        server.wait(timeout=20)


def until(look):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if look():
                return
        time.sleep(0.2)
    raise AssertionError("it did not come in time")


def query(address: str, text: str) -> list:
    answer = json.loads(get(f"{address}/api/v1/query?" + urllib.parse.urlencode({"query": text})))
    return answer["data"]["result"]


def rules(address: str) -> list[dict]:
    groups = json.loads(get(f"{address}/api/v1/rules"))["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]
