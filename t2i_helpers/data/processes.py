"""Work on files, one a process."""

from torch.utils.data import DataLoader


def in_processes(function, items, workers: int):
    """Yield ``function(item)`` of each of the list `items` in order, from `workers` processes; one works right here.

    A DataLoader starts processes as the platform wants it, brings their errors home and stops them with us.
    """
    return iter(DataLoader(items, batch_size=None, num_workers=workers if workers > 1 else 0, collate_fn=function))
