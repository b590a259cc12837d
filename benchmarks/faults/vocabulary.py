"""What the fuzzer makes command lines and files of: words that are right, odd ones, and parts of a space's file.

Of the parts of a file the first is right; one entry is one line.
"""

from __future__ import annotations

# fmt: off
ODD = (
    "", " ", ":", "..", ".", "/", "a:b", "..:x", "os:path", "json:loads", "~", "-", "--", "=", "a=", "=b", "nan", "inf", "-inf",
    "-1", "0", "1e8", "1e400", "9" * 20, "9" * 5000, "0x10", "1_000", "True", "null", "[]", "{}", "[1, 2", "{a: b}",
    "!!python/object/apply:os.system [ls]", "&a [*a, *a]", "x" * 300, "\x1b[31mred", "a\nb", "a\tb", "ünï", "\u202egnp",
    "\udcff\udcfe", "%s", "{0}", "/dev/null", "/proc/self/mem", "/root/none/x",
)
NUMBERS = (
    "-1", "0", "1e8", "100000000", "9" * 20, "1e-300", "1e308", "-0.0", "2147483648", "1.5", ".nan", ".inf",
)
SETTINGS = (
    "finetune.epochs", "auxskd.student_temperature", "auxskd.memory_bank", "backbone.width", "backbone.family",
    "backbone.depth", "pretext.task", "pretext.segments", "pretext.batch_size", "video.clip_frames", "video.crop",
    "video.pixels", "data.downstream", "data.pretraining", "data.embedded.train", "data.embedded.frames",
    "evaluation.measures", "evaluation.clips", "compute.precision", "compute.accumulation", "teachers.tasks",
    "logits_graph.distance", "finetune.learning_rate", "no.such", "finetune",
)
VALUES = (
    "1", "2", "0.1", "r3d", "c3d", "vspp", "embedded", "ucf101", "ucf101+hmdb51", "1000000", "float32", "[finetune]",
)
SETTINGS_LINES = (
    "", "- a", "finetune: {epochs: 1}", "finetune:\n  epochs: x", "a: b: c", "? [a]\n: b", "\t", "--- !!binary a", "<<: *x",
)
RECORDS = (
    '{"trial": "a"}', "{", "[]", "null", "1", '{"schema": 99}', "\x00" * 9, '{"trial": 1, "metrics": []}', "\xff",
)
# fmt: on

SPACE = """
from search_spaces.space import Row, Space

{before}

def suggest(trial):
    {suggest}

def grid():
    {grid}

SPACE = Space({arguments})
"""
BEFORE = r"""

1 / 0
raise SystemExit(3)
import no_such_module
def
SPACE = None
import sys; sys.exit()
raise BaseException('x')
x = '\x1b[31m'
Row = None
class Row: pass
import os; os.chdir('/')
Space = lambda *_, **__: None
import torch; torch.zeros(10**15)
open('/no/such')
"""
SUGGEST = r"""
return {'finetune.epochs': trial.suggest_int('finetune.epochs', 1, 3)}
return {'finetune.epochs': trial.suggest_int('finetune.epochs', 3, 1)}
return {'finetune.epochs': trial.suggest_int('finetune.epochs', 1, 10**40)}
return {'finetune.epochs': trial.suggest_int('a', '1', '3')}
return {'finetune.epochs': trial.suggest_float('finetune.epochs', 1, 3)}
return {'auxskd.student_temperature': trial.suggest_float('auxskd.student_temperature', 0.0, 1.0, log=True)}
return {'auxskd.student_temperature': trial.suggest_float('auxskd.student_temperature', 0.1, 1.0, log=True, step=0.1)}
return {'auxskd.student_temperature': trial.suggest_float('auxskd.student_temperature', float('nan'), 1.0)}
return {'auxskd.student_temperature': trial.suggest_float('auxskd.student_temperature', 0.1, float('inf'))}
return {'backbone.family': trial.suggest_categorical('backbone.family', [])}
return {'backbone.family': trial.suggest_categorical('backbone.family', [['r3d'], {}])}
return {'backbone.family': trial.suggest_categorical('backbone.family', ['r3d', 'c3d', 'no'])}
return {'backbone.family': trial.suggest_categorical('backbone.family', 'r3d')}
return {'backbone.family': trial.suggest_categorical('backbone.family', None)}
return {'backbone.width': 10**8}
return {1: 2}
return {}
return None
return 7
raise SystemExit
raise RecursionError
raise KeyError('x')
raise ValueError('\x1b[31m\n' * 50)
return suggest(trial)
return {'no.such': 1}
return {'finetune.epochs': object()}
return {'finetune.epochs': float('nan')}
return {'finetune.epochs': lambda: 1}
return {'finetune.epochs': trial.no_such()}
return {'pretext.task': 'no:such'}
return {'data.downstream': 'ucf101'}
yield 1
"""
GRID = r"""
return [{'finetune.epochs': 1}, {'finetune.epochs': 2}]
return []
return None
return [1]
return ({},)
raise OSError(5, 'x')
return [{1: 1}]
return [{'finetune.epochs': [1]}] * 3
return [{'finetune.epochs': -1}]
return [{'no.such': 1}]
return [{}]
return grid()
"""
ARGUMENTS = r"""
'mine', 'a summary', (), suggest, grid
'mine', 'a summary', (), suggest
'mine', 'a summary', (Row('a', {'finetune.epochs': 1}),), suggest, grid
'mine', 'a summary', (Row('a', {'finetune.epochs': 1}), Row('a', {'finetune.epochs': 2})), suggest
'mine', 'a summary', [Row('a', {})], suggest
'mine', 'a summary', (Row('a', None),), suggest
'mine', 'a summary', (Row(1, {2: 3}),), suggest
'mine', 'a summary', (Row('\x1b[31m', {'finetune.epochs': 1}),), suggest
'mine', 'a summary', (), suggest, objective='test/top1'
'mine', 'a summary', (), suggest, objective=''
'mine', 'a summary', (), suggest, objective=None
'mine', 'a summary', (), suggest, direction='up'
'mine', 'a summary', (), suggest, direction=['maximize']
'mine', 'a summary', (), suggest, trials=0
'mine', 'a summary', (), suggest, trials='3'
'mine', 'a summary', (), suggest, trials=10**9
'mine', 'a summary', (), suggest, lookahead=None
'mine', 'a summary', (), None
'mine', 'a summary', (), 'suggest'
'mine', 'a summary', (), lambda: {}
'mine', 'a summary', (), suggest, grid=3
'mine', 'a summary', (), suggest, grid=suggest
'mine', 'a summary', (), suggest, base={'no.such': 1}
'mine', 'a summary', (), suggest, base={'finetune.epochs': 2}
'mine', 'a summary', (), suggest, base={'finetune.epochs': '9' * 5000}
'mine', 'a summary', (), suggest, base=[1]
'mine', 'a summary', (), suggest, table='no/such'
'mine', 'a summary', (), suggest, figure=7
'mine', None, (), suggest
'a/b', 'x', (), suggest
'..', 'x', (), suggest
'', '', (), suggest
None, None, (), suggest
'x' * 500, 'x', (), suggest
'\x1b[31m', 'x', (), suggest

'mine'
no_such
"""


def entries(text: str) -> list[str]:
    """The lines of one of the texts above."""
    return text.removeprefix("\n").removesuffix("\n").split("\n")


PARTS = {"before": entries(BEFORE), "suggest": entries(SUGGEST), "grid": entries(GRID), "arguments": entries(ARGUMENTS)}
