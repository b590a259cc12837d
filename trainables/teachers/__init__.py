"""The four teachers' self-supervised tasks by name. A new one is a new file and a line here."""

from trainables.teachers.ego_motion import EgoMotion
from trainables.teachers.prediction import Prediction
from trainables.teachers.sorting import Sorting
from trainables.teachers.task import TeacherTask
from trainables.teachers.tracking import Tracking

TEACHERS: dict[str, type[TeacherTask]] = {
    "sorting": Sorting,
    "ego_motion": EgoMotion,
    "tracking": Tracking,
    "prediction": Prediction,
}

__all__ = ["TEACHERS", "TeacherTask"]
