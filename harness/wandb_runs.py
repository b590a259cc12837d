"""Weights & Biases for every trial of a sweep: the sweep's side, and the process that keeps all runs open.

All runs are in one process (`wandb.init(reinit="create_new")`); one that goes on under its id drops steps that it has. wandb is
imported by that process alone.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import netrc
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from harness.listener import Listener, Told, require_space, serve
from harness.media import Confusion, Picture, media_of

Mode = Literal["online", "offline", "disabled"]

_MODES_OF_WANDB: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
AXES = {"bar": ("label", "value"), "scatter": ("x", "y")}
"""What W&B's charts call their axes."""
LONGEST_TAG = 64
"""Characters that W&B takes."""


def run_id(sweep: str, trial: str) -> str:
    """W&B id of a trial's run: the same for the same sweep and trial; letters, digits, - and _; at most 57 characters."""
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", sweep).strip("-")[:40]
    return f"{readable or 'sweep'}-{hashlib.sha256(f'{sweep}/{trial}'.encode()).hexdigest()[:16]}"


class WandbRuns(Listener):
    """W&B runs of a sweep.

    `auto` is online where an API key is configured and WANDB_MODE does not say otherwise, else offline.
    """

    title, module, place = "W&B", "harness.wandb_runs", "wandb"
    environment: ClassVar[Mapping[str, str]] = {
        "WANDB_INIT_TIMEOUT": "20",  # seconds; wandb's own 90 would hold back every run behind the first one
        "WANDB_FINISH_TIMEOUT": "60",
        "WANDB_ERROR_REPORTING": "false",
    }
    hidden = ("WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_MODE", "WANDB_DISABLED")

    def __init__(
        self,
        mode: Literal["auto", "online", "offline", "disabled"],
        directory: Path,
        sweep: str,
        on_warning: Told,
        project: str = "auxgraph",
    ) -> None:
        super().__init__(directory, sweep, on_warning)
        self.mode: Mode = _automatic_mode(on_warning) if mode == "auto" else mode
        self._project = project
        self._where = f"project {project}, group {sweep}"
        self._was_online = False

    @property
    def wanted(self) -> bool:
        return self.mode != "disabled"

    @property
    def description(self) -> str:
        """One line for people: the mode, where the runs are, and how to upload those that were written offline."""
        if self.mode == "disabled":
            return "disabled"
        if self.ended:
            return super().description
        if self.mode == "online":
            return f"online, {self._where}"
        command = "wandb sync --include-online" if self._was_online else "wandb sync"
        return f"offline, {self.directory} (upload with: {command} {shlex.quote(str(self.directory))})"

    def hello(self) -> dict[str, Any]:
        return {"mode": self.mode, "directory": str(self.directory.parent), "project": self._project, "group": self.sweep}

    def hear(self, event: str, **fields: Any) -> None:
        if event == "online":
            self._was_online, self._where = True, fields["url"]
        else:
            self.mode = "offline"
            self.on_warning(f"W&B does not work online ({fields['reason']}): offline from now on, {self.directory}")


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


class _Runs:
    """The child's side: the sweep's runs, by trial."""

    def __init__(self, tell: Callable[..., None], mode: Mode, directory: str, project: str, group: str) -> None:
        import wandb

        self._wandb = wandb
        self._tell = tell
        self._mode = mode
        self._common: dict[str, Any] = {"dir": directory, "project": project, "group": group}
        self._started: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, Any] = {}
        self._defined: dict[str, set[str]] = {}

    def do(self, action: str, **fields: Any) -> None:
        """Carry out `start`, `log` or `finish`; what does not work online is done again offline."""
        require_space(self._common["dir"])
        try:
            getattr(self, action)(**fields)
        except Exception as error:
            if self._mode == "offline":
                raise
            self._go_offline(error)
            getattr(self, action)(**fields)

    def start(self, trial: str, name: str, config: dict[str, Any], tags: list[str], compared: list[str]) -> None:
        opened = self._runs.get(trial)
        tags = [tag[:LONGEST_TAG] for tag in tags if tag]
        kind = "trial" if trial else "sweep"
        identity = {"id": run_id(self._common["group"], trial), "name": name, "job_type": kind}
        self._started[trial] = {**identity, "config": config, "tags": tags}
        if opened is None:
            self._run(trial)
        else:  # the trial goes on with another worker, maybe with other settings
            opened.config.update(config, allow_val_change=True)

    def log(self, trial: str, step: int, along: str, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch of a stage; `along` names the axis over which its metrics lie."""
        if run := self._run(trial):
            for name in sorted(metrics.keys() - self._defined[trial]):
                run.define_metric(name, step_metric=along)
            self._defined[trial] |= metrics.keys()
            run.log({along: epoch, **metrics}, step=step)

    def tables(self, trial: str, tables: dict[str, dict[str, Any]]) -> None:
        """Tables with `columns` and `rows`; those with a `chart` are drawn, with their first two columns as axes."""
        if run := self._run(trial):
            run.log({name: self._table(**table) for name, table in tables.items()})

    def finish(
        self, trial: str, outcome: str, summary: dict[str, Any], config: dict[str, Any], artifacts: dict[str, str]
    ) -> None:
        if run := self._run(trial):
            if shown := {one.name: self._shown(one) for one in media_of(artifacts)}:
                run.log(shown)
            run.config.update(config, allow_val_change=True)
            run.summary.update({**summary, "outcome": outcome})
            run.finish(exit_code=1 if outcome == "failed" else 0)
            del self._started[trial], self._runs[trial], self._defined[trial]
            self._tell("finished", trial=trial)

    def finish_all(self) -> None:
        """End the runs that the sweep left open, as neither failed nor complete."""
        for trial in list(self._started):
            self.do("finish", trial=trial, outcome="interrupted", summary={}, config={}, artifacts={})
        require_space(self._common["dir"])
        self._wandb.teardown()

    def _shown(self, one: Picture | Confusion) -> Any:
        """A picture, or a chart of W&B's own, whose cells of no video are left out."""
        if isinstance(one, Picture):
            return self._wandb.Image(one.pixels, caption=one.caption)
        cells = [
            [one.classes[row], one.classes[column], count]
            for row, counts in enumerate(one.counts)
            for column, count in enumerate(counts)
            if count
        ]
        columns = ["Actual", "Predicted", "nPredictions"]
        return self._wandb.plot_table(
            "wandb/confusion_matrix/v1",
            self._table(columns, cells),
            {name: name for name in columns},
            {"title": f"{one.name}: test videos"},
        )

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], chart: str = "") -> Any:
        table = self._wandb.Table(columns=list(columns), data=[list(row) for row in rows], allow_mixed_types=True)
        if not chart:
            return table
        axes = dict(zip(AXES[chart], columns, strict=False))
        return self._wandb.plot_table(f"wandb/{chart}/v0", table, axes, {"title": " and ".join(columns[:2])})

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


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in _configured_secrets():
        text = text.replace(secret, "***")
    return text if len(text) <= 240 else text[:237] + "..."


if __name__ == "__main__":
    sys.exit(serve(_Runs, _reason))
