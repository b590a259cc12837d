"""Tables of the auxSKD + VSPP paper: "Auxiliary Learning for Self-Supervised Video Representation via Similarity-based
Knowledge Distillation"."""

from __future__ import annotations

from reports.paper_table import PaperTable

TABLE3 = PaperTable(
    id="auxskd/table3",
    parameters={
        "teacher_temperature": "auxskd.teacher_temperature",
        "student_temperature": "auxskd.student_temperature",
    },
    published_column="ucf101",
    measure="UCF101 top-1",
    metric="test/top1",
    fixed={"recipe": "auxskd_pretext"},
    paper_settings={
        "data.pretraining": "kinetics100",
        "data.downstream": "ucf101",
        "backbone.family": "r2plus1d",
        "backbone.depth": 18,
        "backbone.width": 64,
    },
)
