"""`delf bench startup` runs what it names, and refuses a call that went wrong."""

import pytest

from delf_common.bench import startup
from delf_common.errors import DelfError


def test_calls_are_timed_in_processes_of_their_own(tmp_path, monkeypatch):
    every = startup.calls(tmp_path)
    assert {"delf --help", "delf, wrong flag", "delf match A B"} <= set(every)
    few = {name: every[name] for name in ("python", "delf --help", "delf, wrong flag")}
    monkeypatch.setattr(startup, "calls", lambda folder: few)
    result = startup.run_startup_bench(tmp_path, 1)
    assert list(result["seconds"]) == list(few)
    spent = result["processor_seconds"]
    assert list(spent) == list(few)
    # The clock ticks every 10 ms: only a bare interpreter may cost none of its ticks.
    assert min(spent[name] for name in few if name != "python") > 0
    assert (tmp_path / "a.jpg").is_file() and (tmp_path / "b.jpg").is_file()
    assert "delf --help" in startup.format_table(result)


def test_processor_time_of_the_process_is_counted():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    _, spent = startup.time_call(["-c", busy], 0)
    assert spent >= 0.45  # the clock ticks every 10 ms


def test_another_exit_code_is_an_error():
    with pytest.raises(DelfError, match="exit 3 in place of 0"):
        startup.time_call(["-c", "raise SystemExit(3)"], 0)
