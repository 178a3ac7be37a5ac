"""Which sources have to be fitted together: groups of neighbours, and groups cut to a size.

Two sources are friends if they are close enough; a group is everybody who can be reached from
friend to friend. Labels are int64, start at 1 and count up in the order of each group's first
member.
"""

from .adapter import (
    group_sources,
    label_groups,
)
from .makers import (
    DAOGroup,
    DBSCANGroup,
)
from .splitting import (
    Grouping,
    split_large_groups,
)

__all__ = [
    "DAOGroup",
    "DBSCANGroup",
    "Grouping",
    "group_sources",
    "label_groups",
    "split_large_groups",
]
