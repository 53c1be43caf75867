"""`t2i train ... --slurm`, a training as a job of a cluster that is queued again when it is preempted."""

import subprocess
import sys

from ..errors import BadValue, check_name, or_raise

# settings of --slurm: (submitit's name, type)
SETTINGS = {"partition": ("slurm_partition", str), "account": ("slurm_account", str), "gpus": ("gpus_per_node", int),
            "cpus": ("cpus_per_task", int), "memory": ("mem_gb", int), "time": ("timeout_min", int)}


class Job:
    """`command`, a training that saves its state at SIGTERM and that the same command resumes."""

    def __init__(self, command: list[str]):
        self.command, self.process = command, None

    def __call__(self) -> None:
        self.process = subprocess.Popen(self.command)
        if code := self.process.wait():
            raise RuntimeError(f"{' '.join(self.command)} ended with {code}")

    def checkpoint(self):
        """What submitit queues when the job is about to be preempted or its time is over."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(Job(self.command))


def submit(arguments: list[str], settings: str, folder):
    """Submit `t2i` with `arguments`; batch script and logs go to `folder`. Returns submitit's job.

    `settings` such as "partition=gpu,gpus=4,time=600" are those of SETTINGS, time in minutes and memory in GB; with
    several GPUs accelerate starts one process for each. "cluster=local" runs the job on this machine. Raises
    UnknownName for a setting that does not exist, BadValue for a bad value and without submitit or SLURM.
    """
    with or_raise(BadValue, "--slurm needs submitit", "pip install submitit"):
        import submitit
    given = dict(setting.partition("=")[::2] for setting in settings.split(","))
    cluster, options = given.pop("cluster", "slurm"), {}
    for name, text in given.items():
        check_name("setting of --slurm", name, (*SETTINGS, "cluster"))
        theirs, kind = SETTINGS[name]
        with or_raise(BadValue, f"--slurm {settings}", f"{name} is a whole number"):
            options[theirs] = kind(text)
    with or_raise(BadValue, f"--slurm {settings}", "cluster=local runs the job on this machine"):     # without sbatch
        executor = submitit.AutoExecutor(folder, cluster=cluster)
    executor.update_parameters(name="t2i", **options if cluster == "slurm" else {
        name: value for name, value in options.items() if not name.startswith("slurm_")})
    several = options.get("gpus_per_node", 1) > 1
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", str(options["gpus_per_node"])] if several else []
    return executor.submit(Job([sys.executable, *launcher, "-m", "t2i_helpers.cli", *arguments]))
