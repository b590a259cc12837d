"""What videos a dataset has: the layouts in which datasets lie on disk, read into one form.

`read_videos("ucf101", source, split=1, validation_fraction=0.1)` gives the train, validation and test videos with dense
labels; `recognise_layout(root)` says which layout lies at a directory. Each layout is one file: `ucf101`, `hmdb51`,
`ccv`, `ssv2`, `diving48`, `lists`, `kinetics400`, `kinetics100`, `folder`; their names: `LAYOUTS` of the settings.

The validation part is carved out of the official training part by *group* (the film or scene that a video was cut
from), so that near-identical videos never lie on both sides. A copy of a dataset may be partial: what the lists name
and the disk lacks is counted, and classes without any video are dropped.
"""

from trainables.video.layouts.listing import Layout, Listing
from trainables.video.layouts.reading import assemble, find_layout, read_videos, recognise_layout

__all__ = [
    "Layout",
    "Listing",
    "find_layout",
    "assemble",
    "read_videos",
    "recognise_layout",
]
