"""`supervisor simulate`: what it reads, what it prints, and how it fails."""

from __future__ import annotations

import json
import sqlite3
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from supervisor.__main__ import main
from supervisor.adapters import sqlite_points
from supervisor.adapters.sqlite_points import Point
from supervisor.adapters.sqlite_schema import migrate, open_writing
from supervisor.policies import load
from supervisor.replay.plot import clock, svg_plot, terminal_plot
from supervisor.replay.recordings import RecordingError, read_csv, read_range
from supervisor.replay.run import ReplayOptions, replay

TEXT = """
services:
  web: {scale: {enabled: true, min: 2, max: 8, metrics: {cpu: {target: 0.5}, p95: {query: slow, target: 1}}}}
  shown: {}
"""
HEADER = "time,cpu,p95,ready\n"
STEP = HEADER + "".join(f"{at},{0.5 if at < 400 else 0.9},0.2,3\n" for at in range(0, 900, 10))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yml"
    path.write_text(TEXT)
    return path


def simulated(file: Path, *options: str | Path) -> int:
    return main(["simulate", "web", "--policies", str(file), *(str(option) for option in options)])


def test_prints_each_decision_with_its_reason_and_a_plot(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "load.csv").write_text(STEP)
    assert simulated(file, "--csv", file.parent / "load.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0:00:00  3 replicas"
    assert lines[1] == (
        "0:06:40  3 -> 6  metric_above_target: cpu is 0.9 against a target of 0.5, over 3 ready, which asks for 6"
    )
    assert any("replicas wanted" in line for line in lines)
    assert lines[-1].startswith("890 s replayed in ")
    assert lines[-1].endswith(" times as fast.")
    assert lines[-2].startswith("web: 3 to 6 replicas, 4.7 on average, 1 step up and 0 down")


def test_json_for_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "load.csv").write_text("time,cpu\n" + "".join(f"{at},0.9\n" for at in range(0, 100, 10)))
    assert simulated(file, "--csv", file.parent / "load.csv", "--replicas", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["service"] == "web"
    assert (found["metrics"], found["left_out"]) == (["cpu"], ["p95"])
    assert [(step["before"], step["after"], step["cause"]) for step in found["decisions"]] == [
        (3, 6, "metric_above_target")
    ]
    assert found["points"][-1]["desired"] == 6
    assert found["times_as_fast"] == pytest.approx(found["seconds"] / found["took_seconds"])


def test_a_picture(file: Path, tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text(STEP)
    assert simulated(file, "--csv", tmp_path / "load.csv", "--plot", tmp_path / "load.svg", "--no-plot") == 0
    picture = ElementTree.fromstring((tmp_path / "load.svg").read_text())  # noqa: S314 - our own
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["0:06:40 3 to 6: cpu is 0.9 against a target of 0.5, over 3 ready, which asks for 6"]


def test_plots_of_a_long_run_keep_their_peaks_and_their_size() -> None:
    peak = tuple((float(at), 0.9 if at == 40_000 else 0.1) for at in range(0, 86_400, 20))
    options = ReplayOptions(cycle_seconds=20.0, replicas=3)
    run = replay(load(TEXT).services["web"], {"cpu": peak}, options)
    highest = max(point.load or 0.0 for point in run.points)
    picture = svg_plot(run, "")
    assert len(picture) < 60_000
    assert highest > 3
    ys = [float(pair.split(",")[1]) for pair in picture.split('points="')[1].split('"')[0].split()]
    assert min(ys) < 0.55 * max(ys)
    plot = terminal_plot(run, 80, 15)
    assert all(len(line) <= 80 for line in plot.splitlines())


@pytest.mark.parametrize(
    ("at", "text"), [(0.0, "0:00:00"), (3725.0, "1:02:05"), (1_790_000_000.0, "14:13:20"), (90_000.0, "25:00:00")]
)
def test_times_of_a_test_and_of_a_day(at: float, text: str) -> None:
    assert clock(at) == text


def test_csv_times_and_gaps() -> None:
    found = read_csv("time, cpu,ready\n2026-03-02T12:00:00,0.5,3\n2026-03-02T13:00:00+01:00,,3\n\n1772452800.5,nan,2\n")
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
    assert found == {"cpu": ((noon, 0.5),), "ready": ((noon, 3.0), (noon, 3.0), (noon + 0.5, 2.0))}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the columns are `time`"),
        ("at,cpu\n1,2\n", "line 1: the columns are `time`"),
        ("time,cpu,cpu\n", "line 1: the columns are `time`"),
        ("time,cpu\n1,2,3\n", "line 2: 3 cells, where there are 2 columns"),
        ("time,cpu\n1,2\nnoon,2\n", "line 3: 'noon' is no time"),
        ("time,cpu\ninf,2\n", "line 2: 'inf' is no time"),
        ("time,cpu\n1,many\n", "line 2: 'many' in the column cpu is no number"),
    ],
)
def test_csv_problems_name_the_line(text: str, problem: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_csv(text)
    assert str(caught.value).startswith(problem)


def answer(*series: list[list[object]]) -> str:
    result = [{"metric": {"n": str(n)}, "values": values} for n, values in enumerate(series)]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def test_range_answers_of_prometheus() -> None:
    assert read_range(answer([[1, "0.5"], [2, "NaN"], [3.5, "1"]])) == ((1.0, 0.5), (3.5, 1.0))
    assert read_range(answer()) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "this is not JSON"),
        ("[]", "this is no answer of Prometheus: not an object"),
        ('{"status": "error", "error": "too long"}', "this is no answer of Prometheus: too long"),
        ('{"status": "success", "data": {}}', "this is no answer to a range query: it has no `result`"),
        (answer([[1, "x"]]), "this is no answer to a range query: `values` are pairs"),
        (answer([], []), "2 series where one is expected"),
    ],
)
def test_range_problems(text: str, problem: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_range(text)
    assert str(caught.value).startswith(problem)


def test_replays_files_of_range_answers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file.parent / "cpu.json"
    path.write_text(answer([[1_790_000_000 + at, "0.9"] for at in range(0, 100, 10)]))
    assert simulated(file, "--range", f"cpu={path}", "--replicas", "3", "--no-plot") == 0
    assert "14:13:20  3 -> 6" in capsys.readouterr().out


def test_replays_the_history(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.sqlite3"
    now = int(datetime.now(UTC).timestamp())
    with closing(open_writing(path, 10_000_000)) as connection:
        migrate(connection)
        for at in range(now - 600, now, 10):
            points = (Point(service="web", cpu_ratio=0.9, p95_seconds=0.1, ready=3, running=3, desired=3),)
            sqlite_points.write(connection, at, points)
        connection.commit()
    assert simulated(file, "--history", path, "--since", "5m", "--no-plot") == 0
    printed = capsys.readouterr().out
    assert "3 -> 6  metric_above_target" in printed
    assert "left out" not in printed
    assert simulated(file, "--history", tmp_path / "none.sqlite3") == 2
    assert "there is no history at" in capsys.readouterr().err
    (tmp_path / "broken.sqlite3").write_text("no database" * 100)
    assert simulated(file, "--history", tmp_path / "broken.sqlite3") == 3
    with pytest.raises(sqlite3.DatabaseError), closing(sqlite3.connect(tmp_path / "broken.sqlite3")) as connection:
        connection.execute("SELECT 1 FROM sqlite_master")


class Prometheus(BaseHTTPRequestHandler):
    """Answers range queries: 0.9 for what is called `busy`, nothing for others, refusal for `wrong`."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        query, start, end = form["query"][0], float(form["start"][0]), float(form["end"][0])
        status, text = 200, answer([[at, "0.9"] for at in range(int(start), int(end), 10)] if query == "busy" else [])
        if query == "wrong":
            status, text = 400, json.dumps({"status": "error", "errorType": "bad_data", "error": "no such thing"})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def prometheus() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_asks_prometheus(file: Path, prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prometheus", prometheus, "--replicas", "3", "--no-plot", "--since", "5m"]
    assert simulated(file, *options, "--query", "cpu=busy") == 0
    printed = capsys.readouterr().out
    assert "3 -> 6  metric_above_target" in printed
    assert "Not recorded, and left out: p95." in printed
    assert simulated(file, *options, "--query", "cpu=wrong") == 2
    assert "no such thing" in capsys.readouterr().err
    assert simulated(file, *options) == 1
    assert "web follows cpu, p95; recorded: none." in capsys.readouterr().err


def test_prometheus_away(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulated(file, "--prometheus", "http://127.0.0.1:9") == 3
    assert "Prometheus cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (["--csv", "/none.csv"], 2, "No such file"),
        (["--replicas", "0"], 2, "--replicas are more than 0"),
        (["--cycle-seconds", "0"], 2, "--cycle-seconds and --replicas"),
        (["--service-is-the-first"], 2, "unrecognized arguments"),
        (["--since", "soon"], 2, "'soon' is no duration such as 90m, 6h or 7d"),
        (["--since", "0s"], 2, "'0s' is no duration"),
        (["--range", "cpu"], 2, "'cpu' is not of the form METRIC="),
        ([], 1, "web follows cpu, p95; recorded: none."),
    ],
)
def test_bad_options(
    file: Path, options: list[str], status: int, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = simulated(file, *options)
    except SystemExit as ended:  # argparse's
        code = int(ended.code or 0)
    assert (code, problem in capsys.readouterr().err) == (status, True)


def test_bad_policies(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "other", "--policies", str(file)]) == 2
    assert "other has no policy; there are web, shown" in capsys.readouterr().err
    assert main(["simulate", "shown", "--policies", str(file)]) == 2
    assert "the scaling of shown is off" in capsys.readouterr().err
    file.write_text(TEXT.replace("max: 8", "max: 1"))
    assert simulated(file) == 1
    assert "line 3: services.web.scale.min is 2, more than max 1" in capsys.readouterr().err
