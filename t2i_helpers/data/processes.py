"""Work on files, one a process."""

from torch.utils.data import DataLoader

from ..errors import OutputError


def in_processes(function, items, workers: int):
    """Yield ``function(item)`` of each of the list `items` in order, from `workers` processes; one works right here.

    A DataLoader starts processes as the platform wants it, brings their errors home and stops them with us. Raises
    OutputError where one of them was killed.
    """
    workers = min(workers, len(items))
    try:
        yield from DataLoader(items, batch_size=None, num_workers=workers if workers > 1 else 0, collate_fn=function)
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise OutputError("a process was killed, perhaps for want of memory: the same command goes on, and fewer "
                          "workers need less") from error
