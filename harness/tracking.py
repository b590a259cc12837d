"""Weights & Biases for every trial of a sweep, in one process of its own: a sweep never waits for W&B and never fails with it.

`Tracker` is the sweep's side: it puts JSON lines into a queue that a thread writes to the child's standard input. The child
(`python -m harness.tracking`) keeps all runs open (`wandb.init(reinit="create_new")`) and answers with JSON lines of its own
when something changes: online, offline from now on, a run finished, stopped. When its input ends, even because the sweep was
killed, it finishes what is open and leaves. One that is killed is replaced, and the next one is told again what the runs that
are not finished had been told: they are continued under their ids, and W&B drops steps that it has. Imports no Ray, no Optuna;
wandb is imported by the child alone.
"""

from __future__ import annotations

import configparser
import contextlib
import errno
import hashlib
import itertools
import json
import logging
import netrc
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]

LOG_NAME = "tracking.log"
MOST_LIVES = 4
"""How many processes a sweep's runs are given, should they be killed."""

_MODES_OF_WANDB: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_CHILD_COMMAND = ["-m", "harness.tracking"]
_CHILD_DEFAULTS = {
    "WANDB_INIT_TIMEOUT": "20",  # seconds; wandb's own 90 would hold back every run behind the first one
    "WANDB_FINISH_TIMEOUT": "60",
    "WANDB_ERROR_REPORTING": "false",
}
_OTHERS_RUNS = ("WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_MODE", "WANDB_DISABLED")
_MINIMUM_FREE_BYTES = 1 << 20


def run_id(sweep: str, trial: str) -> str:
    """W&B id of a trial's run: the same for the same sweep and trial; letters, digits, - and _; at most 57 characters."""
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", sweep).strip("-")[:40]
    return f"{readable or 'sweep'}-{hashlib.sha256(f'{sweep}/{trial}'.encode()).hexdigest()[:16]}"


def step_axis(stage: str) -> str:
    """The metric that counts a stage's epochs, named as its other metrics are: `finetune/epoch`, `finetune/epoch/ucf101`."""
    kind, several, dataset = stage.partition("/")
    return f"{kind}/epoch{several}{dataset}"


@dataclass
class _Trial:
    """What was told of one that has not finished: epochs by stage, and steps in all."""

    config: Mapping[str, Any]
    epochs: dict[str, int] = field(default_factory=dict)
    steps: int = 0


class Tracker:
    """W&B runs of one sweep, one run per trial. No method blocks, except `close`, and none raises because of W&B.

    `auto` is online where an API key is configured and WANDB_MODE does not say otherwise, else offline. `on_warning` gets
    one sentence for each thing that goes wrong, from whatever thread notices it.
    """

    def __init__(
        self,
        mode: Literal["auto", "online", "offline", "disabled"],
        directory: Path,
        sweep: str,
        on_warning: Callable[[str], None],
        project: str = "auxgraph",
    ) -> None:
        self.mode: Mode = _automatic_mode(on_warning) if mode == "auto" else mode
        self.directory = directory / "wandb"
        self._sweep = sweep
        self._project = project
        self._on_warning = on_warning
        self._where = f"project {project}, group {sweep}"
        self._was_online = False
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = self._closed = False
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._told: dict[str, list[bytes]] = {}
        self._trials: dict[str, _Trial] = {}
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None

    def start(self, trial: str, name: str, config: Mapping[str, Any], tags: Sequence[str] = ()) -> None:
        """Open the trial's run; one that exists, here or from an earlier call of the same sweep, is continued.

        With another config than before its stages begin anew.
        """
        if self._child is None and not self._ended and self.mode != "disabled":
            self._start_child()
        known = self._trials.setdefault(trial, _Trial(config))
        if known.config != config:
            known.config, known.epochs = config, {}
        self._send(
            action="start",
            trial=trial,
            id=run_id(self._sweep, trial),
            name=name,
            config=dict(config),
            tags=[tag[:64] for tag in tags if tag],
        )

    def epoch(self, trial: str, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a stage, from 1; one that was told before, or comes before such a one, is not told again.

        Metrics may be NaN or infinite. What comes for a trial that is not started, or finished, is ignored.
        """
        known = self._trials.get(trial)
        if known is None or epoch <= known.epochs.get(stage, 0):
            return
        known.epochs[stage] = epoch
        known.steps += 1
        along = step_axis(stage)
        self._send(action="log", trial=trial, step=known.steps, along=along, metrics={along: epoch, **metrics})

    def replay(self, trial: str, stage: str, history: Mapping[str, Sequence[float]]) -> None:
        """The epochs of a finished stage, metric by metric, of which nothing was told: those of one that was found."""
        for number in range(max(map(len, history.values()), default=0)):
            self.epoch(trial, stage, number + 1, {name: of[number] for name, of in history.items() if number < len(of)})

    def finish(self, trial: str, outcome: str, summary: Mapping[str, float]) -> None:
        """Close the trial's run with its outcome and final metrics in the summary; `failed` marks the run as failed."""
        self._trials.pop(trial, None)
        self._send(action="finish", trial=trial, outcome=outcome, summary=dict(summary))

    def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until all is written; after that the child ends its work by itself."""
        if self._reader is None:
            return
        with self._lock:
            self._closed = True
            self._lines.put(None)
        self._reader.join(timeout)
        if self._reader.is_alive():
            self._on_warning(f"W&B needs longer than {timeout:g} s: it goes on in the background, see {self.log_path}")

    @property
    def log_path(self) -> Path:
        return self.directory / LOG_NAME

    @property
    def description(self) -> str:
        """One line for people: the mode, where the runs are, and how to upload those that were written offline."""
        if self.mode == "disabled":
            return "disabled"
        if self._ended:
            return f"ended early, {self.directory} has what was written until then"
        if self.mode == "online":
            return f"online, {self._where}"
        command = "wandb sync --include-online" if self._was_online else "wandb sync"
        return f"offline, {self.directory} (upload with: {command} {shlex.quote(str(self.directory))})"

    def _start_child(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._launch()
        except OSError as error:
            self._end(f"W&B is off for this sweep, its files cannot be written: {error}")
            return
        self._reader = threading.Thread(target=self._attend, daemon=True)
        self._reader.start()

    def _launch(self) -> None:
        """A process, which is first told all that the runs have been told that are not finished. Raises OSError."""
        root = str(Path(__file__).resolve().parents[1])
        environment = {**_CHILD_DEFAULTS, **{k: v for k, v in os.environ.items() if k not in _OTHERS_RUNS}}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-P", *_CHILD_COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
        assert self._child.stdin
        self._lines = queue.SimpleQueue()
        hello = {"mode": self.mode, "directory": str(self.directory.parent), "project": self._project, "group": self._sweep}
        for line in (_as_line(hello), *itertools.chain.from_iterable(self._told.values())):
            self._lines.put(line)
        if self._closed:
            self._lines.put(None)
        threading.Thread(target=self._write, args=(self._child.stdin, self._lines), daemon=True).start()

    def _send(self, trial: str, **fields: Any) -> None:
        line = _as_line({**fields, "trial": trial})
        with self._lock:
            if self._child is not None and not self._ended:
                self._told.setdefault(trial, []).append(line)
                self._lines.put(line)

    @staticmethod
    def _write(pipe: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
        with contextlib.suppress(OSError), pipe:
            for line in iter(lines.get, None):
                while line:
                    line = line[pipe.write(line) :]

    def _attend(self) -> None:
        """Hear what the process says; one that was killed is replaced."""
        for life in itertools.count(1):
            child = self._child
            assert child and child.stdout
            for line in child.stdout:
                self._hear(**json.loads(line))
            code = child.wait()
            if code == 0 or self._ended:
                return
            if code > 0 or life == MOST_LIVES:
                self._end(f"The W&B process ended (exit code {code}), the sweep goes on without: {self.log_path}")
                return
            try:
                with self._lock:
                    self._launch()
            except OSError as error:
                self._end(f"W&B is off for the rest of this sweep, its files cannot be written: {error}")
                return
            self._on_warning(f"The W&B process was killed (signal {-code}): another one goes on with its runs")

    def _hear(self, event: str, url: str = "", reason: str = "", trial: str = "") -> None:
        if event == "online":
            self._was_online, self._where = True, url
        elif event == "offline":
            self.mode = "offline"
            self._on_warning(f"W&B does not work online ({reason}): offline from now on, {self.directory}")
        elif event == "finished":
            with self._lock:
                self._told.pop(trial, None)
        else:
            self._end(f"W&B is off for the rest of this sweep ({reason}): {self.log_path}")

    def _end(self, warning: str) -> None:
        self._ended = True
        self._lines.put(None)
        self._on_warning(warning)


def _automatic_mode(on_warning: Callable[[str], None]) -> Mode:
    wanted = os.environ.get("WANDB_MODE") or _wandb_settings().get("mode")
    if wanted in _MODES_OF_WANDB:
        return _MODES_OF_WANDB[wanted]
    if wanted:
        on_warning(f"WANDB_MODE={wanted!r} is none of {', '.join(_MODES_OF_WANDB)}: W&B writes offline")
        return "offline"
    return "online" if _configured_secrets() else "offline"


def _wandb_settings() -> dict[str, str]:
    """What `wandb login` and `wandb offline` left in wandb's own settings files, the one of this directory first."""
    home = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read([Path(home).expanduser() / "settings", Path("wandb/settings")], encoding="utf-8")
    return dict(parser["default"]) if parser.has_section("default") else {}


def _configured_secrets() -> list[str]:
    """Every credential that wandb would find, looked up in the same places without asking a server."""
    settings = _wandb_settings()
    candidates = [os.environ.get("WANDB_API_KEY"), os.environ.get("WANDB_IDENTITY_TOKEN_FILE"), settings.get("api_key")]
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or settings.get("base_url") or "").netloc
    with contextlib.suppress(netrc.NetrcParseError, OSError, UnicodeDecodeError):
        for machine, (_, _, password) in netrc.netrc(Path(os.environ.get("NETRC") or "~/.netrc").expanduser()).hosts.items():
            if machine == server or (not server and "wandb" in machine):
                candidates.append(password)
    return [secret for secret in candidates if secret]


def _as_line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, default=_plain, skipkeys=True).encode() + b"\n"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


class _Runs:
    """The child's side: the sweep's runs, by trial."""

    def __init__(self, tell: Callable[..., None], mode: Mode, directory: str, project: str, group: str) -> None:
        import wandb

        self._wandb = wandb
        self._tell = tell
        self._mode = mode
        self._directory = directory
        self._common: dict[str, Any] = {"dir": directory, "project": project, "group": group}
        self._started: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, Any] = {}
        self._defined: dict[str, set[str]] = {}

    def do(self, action: str, **fields: Any) -> None:
        """Carry out `start`, `log` or `finish`; what does not work online is done again offline."""
        self._require_space()
        try:
            getattr(self, action)(**fields)
        except Exception as error:
            if self._mode == "offline":
                raise
            self._go_offline(error)
            getattr(self, action)(**fields)

    def start(self, trial: str, **run: Any) -> None:
        opened = self._runs.get(trial)
        self._started[trial] = run
        if opened is None:
            self._run(trial)
        else:  # the trial goes on with another worker, maybe with other settings
            opened.config.update(run["config"], allow_val_change=True)

    def log(self, trial: str, step: int, along: str, metrics: dict[str, float]) -> None:
        if run := self._run(trial):
            for name in sorted(metrics.keys() - {along} - self._defined[trial]):
                run.define_metric(name, step_metric=along)
            self._defined[trial] |= metrics.keys()
            run.log(metrics, step=step)

    def finish(self, trial: str, outcome: str, summary: dict[str, float]) -> None:
        if run := self._run(trial):
            run.summary.update({**summary, "outcome": outcome})
            run.finish(exit_code=1 if outcome == "failed" else 0)
            del self._started[trial], self._runs[trial], self._defined[trial]
            self._tell("finished", trial=trial)

    def finish_all(self) -> None:
        """End the runs that the sweep left open, as neither failed nor complete."""
        for trial in list(self._started):
            self.do("finish", trial=trial, outcome="interrupted", summary={})
        self._require_space()
        self._wandb.teardown()

    def _run(self, trial: str) -> Any:
        if trial in self._started and trial not in self._runs:
            self._runs[trial], self._defined[trial] = self._init(**self._started[trial]), set()
        return self._runs.get(trial)

    def _init(self, **run: Any) -> Any:
        opened = self._wandb.init(
            **self._common,
            **run,
            mode=self._mode,
            reinit="create_new",
            resume="allow",
            settings=self._wandb.Settings(
                silent=True,
                console="off",
                symlink=False,
                use_dot_wandb=False,
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
                finish_timeout_raises=self._mode == "online",
            ),
        )
        if self._mode == "online":
            self._tell("online", url=opened.project_url)
        return opened

    def _go_offline(self, error: Exception) -> None:
        """Restart wandb, which holds on to the id of a run that failed to open; open runs go on in offline files."""
        self._mode = "offline"
        self._tell("offline", reason=_reason(error))
        self._runs.clear()
        with contextlib.suppress(Exception, SystemExit):
            self._wandb.teardown()

    def _require_space(self) -> None:
        """wandb itself loses data on a full disk without a word."""
        if shutil.disk_usage(self._directory).free < _MINIMUM_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._directory)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in _configured_secrets():
        text = text.replace(secret, "***")
    return text if len(text) <= 240 else text[:237] + "..."


def _serve() -> int:
    """Do what the lines on standard input say until it ends; returns the exit code."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.raiseExceptions = False

    def tell(event: str, **fields: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"event": event, **fields}), file=events)

    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        runs = _Runs(tell, **json.loads(lines.get() or b"{}"))
        for line in iter(lines.get, None):
            runs.do(**json.loads(line))
        runs.finish_all()
    except Exception as error:
        tell("stopped", reason=_reason(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_serve())
