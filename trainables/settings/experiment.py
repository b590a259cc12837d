"""The whole configuration of an experiment, and replacing any value of it by its dotted name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainables.settings.auxskd import (
    AuxSKDSettings,
    BackboneSettings,
    FinetuneSettings,
    FrozenSettings,
    PretextSettings,
    RSPNetSettings,
    VCOPSettings,
    VideoPaceSettings,
    VSPPSettings,
)
from trainables.settings.base import Count, Settings, SettingsError
from trainables.settings.data import AugmentationSettings, ComputeSettings, DataSettings, VideoSettings
from trainables.settings.graph import AlexNetSettings, GraphSettings, StudentSettings, ViewsSettings
from trainables.settings.registry import PRETEXT_TASKS, TASKS, is_import_path, is_in_file
from trainables.settings.seeds import SeedsSettings
from trainables.settings.teachers import (
    EgoMotionSettings,
    FrameSettings,
    PredictionSettings,
    PredNetSettings,
    SortingSettings,
    TeacherFinetuneSettings,
    TeachersSettings,
    TrackingSettings,
    VGGSettings,
)
from trainables.suggestions import did_you_mean

Measure = Literal["finetune", "linear_probe", "retrieval", "compression", "as_given"]


class EvaluationSettings(Settings):
    """What is measured, and how a finetuned network is: clips sampled uniformly from each video, centre crop, averaged."""

    measures: tuple[Measure, ...] = Field(
        ("finetune", "linear_probe", "retrieval"),
        min_length=1,
        description="finetune: the papers' protocol, whatever the recipe; linear_probe, retrieval: with the features of the "
        "frozen backbone, after auxSKD and VSPP only; compression: what teachers and student cost, graph distillation only; "
        "as_given: an imported network with its own last layer, without training",
    )
    clips: Count = 10
    average: Literal["softmax", "logits"] = Field(
        "softmax", description="softmax: both papers, and teachers always; logits: VCOP and RSPNet"
    )

    @model_validator(mode="after")
    def _measures_differ(self) -> Self:
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures = {list(self.measures)}: one is named twice")
        return self


C3D_FRAMES, C3D_SIDE = 8, 16
"""What is left of smaller clips does not survive C3D's pooling."""

Recipe = Literal["scratch", "imported", "pretext", "auxskd_pretext", "fusion", "ensemble", "student", "distillation"]
GRAPH_RECIPES = ("fusion", "ensemble", "student", "distillation")
"""Those of the graph-distillation paper."""


class ExperimentSettings(Settings):
    """The whole configuration of an experiment.

    A task from outside the package brings a group of settings with it, of its own model and under its own name.
    """

    model_config = ConfigDict(extra="allow")

    recipe: Recipe = Field(
        "auxskd_pretext",
        description="scratch: finetune from random initialisation; pretext: pretext first; auxskd_pretext: auxSKD before it; "
        "imported: the network of a file (--weights); fusion: finetuned teachers, mean of their confidence scores; "
        "ensemble: a linear classifier on their joined features; "
        "student: AlexNet from labels alone; distillation: AlexNet from labels and teachers, by the group `graph`",
    )
    protocol: Literal["like_for_like", "published"] = Field(
        "like_for_like",
        description="like_for_like: one backbone, pixels, schedule and finetuning for every pretext task, only sampler, heads "
        "and loss differ; published: each task with the recipe that its authors published (trainables/presets.py)",
    )
    data: DataSettings = DataSettings()
    video: VideoSettings = VideoSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    backbone: BackboneSettings = BackboneSettings()
    compute: ComputeSettings = ComputeSettings()
    seeds: SeedsSettings = SeedsSettings()
    vspp: VSPPSettings = VSPPSettings()
    video_pace: VideoPaceSettings = VideoPaceSettings()
    vcop: VCOPSettings = VCOPSettings()
    rspnet: RSPNetSettings = RSPNetSettings()
    auxskd: AuxSKDSettings = AuxSKDSettings()
    pretext: PretextSettings = PretextSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    frozen: FrozenSettings = FrozenSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    frames: FrameSettings = FrameSettings()
    vgg: VGGSettings = VGGSettings()
    prednet: PredNetSettings = PredNetSettings()
    alexnet: AlexNetSettings = AlexNetSettings()
    sorting: SortingSettings = SortingSettings()
    ego_motion: EgoMotionSettings = EgoMotionSettings()
    tracking: TrackingSettings = TrackingSettings()
    prediction: PredictionSettings = PredictionSettings()
    teachers: TeachersSettings = TeachersSettings()
    teacher_finetune: TeacherFinetuneSettings = TeacherFinetuneSettings()
    views: ViewsSettings = ViewsSettings()
    student: StudentSettings = StudentSettings()
    graph: GraphSettings = GraphSettings()

    @model_validator(mode="before")
    @classmethod
    def _groups_from_outside(cls, values: Any) -> Any:
        """What is not a group of the package's is one of a task that the settings name, and validated by its model."""
        if not isinstance(values, Mapping):
            return values
        groups = groups_from_outside(values)
        for name in values.keys() - cls.model_fields.keys() - groups.keys():
            raise ValueError(f"unknown group of settings '{name}'{did_you_mean(name, cls.model_fields)}")
        made = {}
        for name, model in groups.items():
            try:
                made[name] = model.model_validate(values.get(name, {}))
            except ValidationError as error:
                raise ValueError("\n".join(f"{name}.{_explain(problem)}" for problem in error.errors())) from None
        return {**values, **made}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.vspp.segments > self.video.clip_frames:
            raise ValueError(
                f"vspp.segments = {self.vspp.segments} is larger than the clip, video.clip_frames = {self.video.clip_frames}"
            )
        if self.backbone.family == "c3d" and (self.video.clip_frames < C3D_FRAMES or self.video.crop < C3D_SIDE):
            raise ValueError(f"backbone.family = c3d needs clips of {C3D_FRAMES} frames and {C3D_SIDE} pixels or more")
        if self.auxskd.views == "distinct":
            if self.pretext.task in PRETEXT_TASKS and self.pretext.task not in ("vspp", "video_pace"):
                raise ValueError(f"auxskd.views = distinct: {self.pretext.task} has no speeds in which two views could differ")
            if self.pretext.task == "vspp" and min(self.vspp.segments, self.vspp.speeds) < 2:
                raise ValueError("auxskd.views = distinct needs vspp.segments and vspp.speeds of at least 2")
        return self

    @model_validator(mode="after")
    def _graph_is_consistent(self) -> Self:
        measures = self.evaluation.measures
        if self.recipe not in GRAPH_RECIPES:
            if "compression" in measures:
                raise ValueError(f"evaluation.measures: compression is of the recipes {', '.join(GRAPH_RECIPES)}")
            self._as_given_is_of_a_file(measures)
            return self
        if frozen := [measure for measure in measures if measure in ("linear_probe", "retrieval", "as_given")]:
            raise ValueError(f"evaluation.measures: recipe {self.recipe} has no {frozen[0]}; valid: finetune, compression")
        if self.frames.per_clip > self.video.clip_frames:
            raise ValueError(
                f"frames.per_clip = {self.frames.per_clip} is more than video.clip_frames = {self.video.clip_frames}"
            )
        last, cells = self.vgg.last_side(self.video.crop), self.vgg.cells
        if cells > last and self._has_vgg:
            raise ValueError(
                f"vgg.cells = {cells}: of frames of video.crop = {self.video.crop} pixels the last pooling leaves a map of "
                f"{last}x{last}, which is not repeated; valid: at most {last}. Larger frames, or a smaller vgg.conv1_stride, "
                "leave more"
            )
        if "prediction" in self.teachers.names and self.views.prednet_layer > len(self.prednet.targets):
            layers = len(self.prednet.targets)
            raise ValueError(f"views.prednet_layer = {self.views.prednet_layer}: prednet.targets gives PredNet {layers} layers")
        if self.recipe != "distillation":
            return self
        if self.student.transferred_layers is not None:
            raise ValueError("student.transferred_layers is of recipe student: a student with teachers starts as a whole")
        if self.graph.logits == "none" and self.graph.representation == "none":
            raise ValueError("graph.logits and graph.representation are both none: nothing is distilled; use recipe student")
        if self.teachers.outputs == "bank" and self.student.clips_per_video != 1:
            raise ValueError(
                f"student.clips_per_video = {self.student.clips_per_video}: an epoch sees one view of each video; for more "
                "clips raise student.epochs and views.views, or set teachers.outputs = live"
            )
        if self.graph.logits == "graph" and (self.graph.targets, self.graph.edges) == ("mixed", "learned"):
            raise ValueError(
                "graph.targets = mixed with graph.edges = learned: these edges end at the student, and into teachers nothing "
                "flows; valid edges: gain, learned_global, uniform"
            )
        if self.graph.representation == "graph" and len(self.teachers.names) < 2:
            raise ValueError(
                f"teachers.tasks = {self.teachers.tasks}: the representation graph pairs teachers, so it needs two or more; "
                "with one teacher use graph.representation = single or none"
            )
        self._temperatures_of_vertices()
        return self

    def _as_given_is_of_a_file(self, measures: Sequence[Measure]) -> None:
        if "as_given" in measures and self.recipe != "imported":
            raise ValueError(f"evaluation.measures: as_given is of recipe imported, and recipe = {self.recipe}")
        if {"as_given", "finetune"} <= set(measures):
            raise ValueError("evaluation.measures: as_given and finetune measure two networks by the same names; one at a time")

    @property
    def _has_vgg(self) -> bool:
        """Whether an experiment of graph distillation may make a VGG that classifies."""
        teachers = self.recipe != "student" and self.teachers.names != ("prediction",)
        return teachers or "compression" in self.evaluation.measures

    def _temperatures_of_vertices(self) -> None:
        vertices = self.graph.vertex_names(self.teachers.names)
        for name in ("vertex_temperature", "representation_edge_temperature"):
            given = getattr(self.graph, name)
            if isinstance(given, tuple) and vertices and len(given) != len(vertices):
                raise ValueError(
                    f"graph.{name} has {len(given)} values, and the {len(self.teachers.names)} teachers give {len(vertices)} "
                    f"vertices: one number for all, or one for each of {', '.join(vertices)}"
                )


def groups_from_outside(values: Mapping[str, Any]) -> dict[str, type[Settings]]:
    """The groups of settings that tasks from outside the package bring, by name, given settings as nested data.

    Raises SettingsError for a task that cannot be imported.
    """

    def value(group: str, name: str) -> str:
        found = values.get(group, {})
        return str(found.get(name, "") if isinstance(found, Mapping) else getattr(found, name))

    named = (value("pretext", "task"), *value("teachers", "tasks").split("+"))
    groups: dict[str, type[Settings]] = {}
    for name in named:
        if is_import_path(name) or is_in_file(name):
            task = TASKS.find(name)
            model = getattr(task, "settings_model", None)
            if model is not None and task.name in ExperimentSettings.model_fields:
                raise SettingsError(f"task {name}: '{task.name}' is a group of the package's; name its settings otherwise")
            groups |= {} if model is None else {task.name: model}
    return groups


def setting_names(settings: BaseModel | type[BaseModel] = ExperimentSettings, prefix: str = "") -> list[str]:
    """Dotted names of every setting below `settings`; of settings themselves, not their class, with groups from outside."""
    model = settings if isinstance(settings, type) else type(settings)
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += setting_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    if isinstance(settings, BaseModel):
        for name, group in (settings.model_extra or {}).items():
            names += setting_names(type(group), f"{prefix}{name}.")
    return names


def parse_assignment(text: str) -> tuple[str, Any]:
    """`a.b=value` as (name, value); the value is read as YAML. Raises SettingsError when there is no '='."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set {text!r}: expected NAME=VALUE, for example auxskd.teacher_temperature=0.05")
    try:
        return name.strip(), parse_value(value)
    except SettingsError as error:
        raise SettingsError(f"--set {text!r}: {error}") from None


def parse_value(text: str) -> Any:
    """A value as YAML has it, numbers such as 1e-3 too. Raises SettingsError."""
    try:
        return _with_numbers(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"the value is not readable: {' '.join(str(error).split())}") from None


def read_values(path: Path, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of a YAML file by dotted name: `auxskd: {epochs: 5}` or `auxskd.epochs: 5`, also mixed.

    given: settings beside them, which may name tasks from outside the package whose groups the file then has values for.
    Raises SettingsError naming the file, and the setting that is unknown, is given twice or has a value that it cannot have.
    """
    try:
        content = _with_numbers(yaml.load(path.read_text(encoding="utf-8"), _NoKeyTwice))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict | None):
        raise SettingsError(f"{path}: expected settings as NAME: VALUE, not a {type(content).__name__}")
    try:
        values = _by_dotted_name(content or {})
        names = _with_groups_from_outside(ExperimentSettings().model_dump(), {**values, **(given or {})})
        if unknown := [name for name in values if name not in names]:
            raise unknown_setting(unknown[0], names)
        check_values({name: value for name, value in values.items() if name in setting_names()})
    except SettingsError as error:
        raise SettingsError("\n".join(f"{path}: {line}" for line in str(error).split("\n"))) from None
    return values


class _NoKeyTwice(yaml.SafeLoader):
    """The safe loader, to which a key that is given twice is an error: YAML forbids it, and PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _with_numbers(value: Any) -> Any:
    """What was read as YAML, with the numbers that YAML 1.1 reads as text: 1e-3."""
    if isinstance(value, dict):
        return {name: _with_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return value


def _by_dotted_name(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found = _by_dotted_name(value, f"{name}.") if value and isinstance(value, dict) else {name: value}
        if twice := sorted(found.keys() & values.keys()):
            raise SettingsError(f"{twice[0]} is given twice")
        values |= found
    return values


def unknown_setting(name: str, valid: Sequence[str]) -> SettingsError:
    """The error that says which of the valid settings is likely to be meant, and where all of them are shown."""
    if any(other.startswith(f"{name}.") for other in valid):
        return SettingsError(f"'{name}' is a group of settings (sweep.py --settings {name} shows what is in it)")
    group = name.rpartition(".")[0]
    all_of = f" {group}" if any(other.startswith(f"{group}.") for other in valid) else ""
    return SettingsError(
        f"unknown setting '{name}'{did_you_mean(name, valid)} (sweep.py --settings{all_of} shows what there is)"
    )


def check_values(values: Mapping[str, Any]) -> None:
    """Raises SettingsError for unknown names and for values that a setting cannot have, whatever the others are."""
    for name, value in values.items():
        if name not in setting_names():
            raise unknown_setting(name, setting_names())
        place = tuple(name.split("."))
        tree: Any = value
        for part in reversed(place):
            tree = {part: tree}
        try:
            ExperimentSettings.model_validate(tree)
        except ValidationError as error:
            own = [problem for problem in error.errors() if problem["loc"][: len(place)] == place]
            if own:
                raise SettingsError("\n".join(dict.fromkeys(map(_explain, own)))) from None


def with_values(settings: ExperimentSettings, values: Mapping[str, Any]) -> ExperimentSettings:
    """`settings` with the values of dotted names replaced, validated again as a whole.

    Raises SettingsError naming the unknown setting or the value out of range, and what is valid.
    """
    tree = settings.model_dump()
    valid = _with_groups_from_outside(tree, values)
    for name, value in values.items():
        if name not in valid:
            raise unknown_setting(name, valid)
        node = tree
        *groups, leaf = name.split(".")
        for part in groups:
            node = node[part]
        node[leaf] = value
    return validated(tree)


def groups_alone(settings: ExperimentSettings, *groups: str) -> ExperimentSettings:
    """The defaults with these groups of `settings`: equal, as a key of a cache, for settings that differ in others only."""
    return ExperimentSettings().model_copy(update={name: getattr(settings, name) for name in groups})


def _with_groups_from_outside(tree: dict[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Names of all settings there are once `values` replace those of `tree`, where groups of tasks are exchanged."""
    named = {"pretext.task": tree["pretext"]["task"], "teachers.tasks": tree["teachers"]["tasks"]} | dict(values)
    groups = groups_from_outside({"pretext": {"task": named["pretext.task"]}, "teachers": {"tasks": named["teachers.tasks"]}})
    for name in tree.keys() - ExperimentSettings.model_fields.keys() - groups.keys():
        del tree[name]
    names = setting_names()
    for name, model in groups.items():
        tree.setdefault(name, {})
        names += setting_names(model, f"{name}.")
    return names


def validated(tree: Mapping[str, Any]) -> ExperimentSettings:
    """ExperimentSettings from plain data. Raises SettingsError with one line per problem."""
    try:
        return ExperimentSettings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(dict.fromkeys(map(_explain, _problems(error))))) from None


OF_ANOTHER_TYPE = ("tuple_type", "float_type", "int_type")


def _problems(error: ValidationError) -> list[Any]:
    """What is wrong; of a setting that may be a number or a list only what is wrong with it as what it is."""
    every = error.errors()

    def fits_not(problem: Any) -> bool:
        setting = problem["loc"][:-1]  # before the type that was tried
        if problem["type"] not in OF_ANOTHER_TYPE or ".".join(map(str, setting)) not in setting_names():
            return False
        return any(one["loc"][: len(setting)] == setting and one["type"] not in OF_ANOTHER_TYPE for one in every)

    return [problem for problem in every if not fits_not(problem)]


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"] if isinstance(part, int) or part.isidentifier())
    message = problem["msg"].removeprefix("Value error, ")
    if not name or problem["type"] == "value_error":
        return f"{name}: {message}" if name else message
    return f"{name} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists, also of lists, not tuples."""
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def flat(settings: ExperimentSettings) -> dict[str, Any]:
    """Every setting by its dotted name, as JSON keeps it."""
    tree = settings.model_dump()
    result = {}
    for name in setting_names(settings):
        node: Any = tree
        for part in name.split("."):
            node = node[part]
        result[name] = _plain(node)
    return result
