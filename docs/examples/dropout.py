"""A search space of your own, in one file: dropout before the last layer, after VSPP.

    python harness/sweep.py --space docs/examples/dropout.py

The rows of a paper come first, here the usual setting; the search goes on from there.
"""

from search_spaces.space import Row, Space

SPACE = Space(
    name="dropout",
    summary="dropout of finetuning, after VSPP",
    base={"recipe": "pretext"},
    rows=(Row("none", {"finetune.dropout": 0.0}),),
    suggest=lambda trial: {"finetune.dropout": trial.suggest_float("finetune.dropout", 0.0, 0.9)},
)
