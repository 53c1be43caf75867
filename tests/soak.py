"""Kill commands at random moments, start them again, and compare what they leave with an undisturbed run.

``python tests/soak.py [KILLS [SEED]]``, or ``make soak``, kills each command of COMMANDS 20 times with SIGKILL and
writes docs/soak.md; test_faults.py has its quick part.
"""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")     # imports the libraries once, and forks each command from there
CONTEXT.set_forkserver_preload(["t2i_helpers.cli", "t2i_helpers.training", "t2i_helpers.evaluation.evaluate",
                                "t2i_helpers.reporting.report", "t2i_helpers.data.synthetic", "support"])
COMMANDS = {
    "train": "train cifar10 --size smoke --max-steps 14 --out {home}/run",
    "evaluate": "evaluate --checkpoint {home}/run --w 1 3 --samples 24 --steps 2 --json {home}/table.json",
    "data build-wikiart": "data build-wikiart --source {home}/art --out {home}/store --size 64 --workers 1",
    "report": "report",
}


def command(name: str, home: Path) -> None:
    """Run a command of COMMANDS as its process: its files are in `home`, its output in `log`. A tiny network, 40
    drawn shapes, an epoch of 5 steps, a state every 3, a grid every 4, a file for 8 samples."""
    from support import TINY_UNET

    from t2i_helpers import cli, paths, presets
    from t2i_helpers.data import images
    from t2i_helpers.evaluation import samples
    from t2i_helpers.training import loop

    output = os.open(log(home, os.getpid()), os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(output, stream)
    for module in (paths, samples):
        module.DATA = home / "data"
    cli.ROOT, samples.PART = home / "root", 8
    images.SHAPES["train"] = 40
    presets.SMALL["cifar10"] |= TINY_UNET | {"checkpoint_epochs": 2}
    loop.train.__kwdefaults__ |= {"state_every": 3, "sample_every": 4}
    cli.main(COMMANDS[name].format(home=home).split())


def log(home: Path, process: int) -> Path:
    """The file of what a process prints."""
    return home / f".{process}.log"


def start(name: str, home: Path):
    """The started process of a command."""
    process = CONTEXT.Process(target=command, args=(name, home))
    process.start()
    return process


def finish(name: str, home: Path) -> None:
    """Run a command to its end."""
    process = start(name, home)
    process.join()
    assert process.exitcode == 0, log(home, process.pid).read_text()[-2000:]


def prepare(name: str, home: Path) -> Path:
    """Put what a command needs into `home`: a checkpoint, paintings, or the report's sources."""
    from support import write_art_files

    from t2i_helpers.paths import ROOT

    home.mkdir(parents=True)
    if name == "evaluate":
        finish("train", home)
    elif name == "data build-wikiart":
        write_art_files(home / "art", (400, 300, 500, 200))
    elif name == "report":
        for folder in ("checkpoints", "figures", "report"):
            shutil.copytree(ROOT / folder, home / "root" / folder, copy_function=os.symlink,
                            ignore=shutil.ignore_patterns("runs", "results.json", "numbers.tex", "exhibits.tex"))
    return home


def contents(home: Path) -> dict:
    """A hash of every file in `home` without what may differ: seconds, and the parts of a run that was resumed."""
    from t2i_helpers.models.weights import read_hashed

    hashes = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home)
        if not path.is_file() or path.is_symlink() or any(part.startswith(".") for part in name.parts):
            continue
        content = path.read_bytes()
        if path.suffix == ".jsonl":
            content = repr([json.loads(line) | {"seconds": 0} for line in content.splitlines()]).encode()
        elif path.name == "config.json":
            content = json.dumps(json.loads(content) | {"parts": None}).encode()
        elif path.name == "state.safetensors":
            _, metadata = read_hashed(path)
            content = f"{metadata['blake2b']} {metadata['step']}".encode()
        hashes[name.as_posix()] = hashlib.sha256(content.replace(str(home).encode(), b"")).hexdigest()
    return hashes


def soak(name: str, folder: Path, kills: int, seed: int = 0) -> dict:
    """Kill a command `kills` times, over as many runs as that takes, and compare each run with an undisturbed one."""
    warm_up = CONTEXT.Process(target=bool)          # imports the libraries
    warm_up.start()
    warm_up.join()
    sources = prepare(name, folder / "sources")
    undisturbed, began = shutil.copytree(sources, folder / "undisturbed", symlinks=True), time.monotonic()
    finish(name, undisturbed)
    seconds, expected, rng = time.monotonic() - began, contents(undisturbed), random.Random(f"{name} {seed}")
    killed, runs, different = 0, 0, []
    while killed < kills:
        home = shutil.copytree(sources, folder / "killed", symlinks=True)
        while killed < kills:
            process = start(name, home)
            process.join(rng.uniform(0, 1.1 * seconds))
            if process.exitcode is not None:
                assert process.exitcode == 0, log(home, process.pid).read_text()
                break
            process.kill()
            process.join()
            killed += 1
        finish(name, home)                          # which leaves a command that has ended as it is
        found, runs = contents(home), runs + 1
        different += [file for file in sorted(expected.keys() | found.keys()) if expected.get(file) != found.get(file)]
        shutil.rmtree(home)
    return {"seconds": seconds, "kills": killed, "runs": runs, "files": len(expected), "different": different}


def main(kills: int = 20, seed: int = 0) -> int:
    """Soak every command and renew the table of docs/soak.md; returns the number of files that differ."""
    lines, bad = [], 0
    for name in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            row = soak(name, Path(folder), kills, seed)
        bad += len(row["different"])
        lines.append(f"| `t2i {name}` | {row['seconds']:.1f} | {row['kills']} | {row['runs']} | {row['files']} | "
                     f"{', '.join(row['different']) or 'none'} |")
        print(lines[-1], flush=True)
    page = Path(__file__).resolve().parents[1] / "docs" / "soak.md"
    head = page.read_text(encoding="utf-8").splitlines()[:8]                            # to the table's second line
    page.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    return bad


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    os.environ.pop("T2I_MIRROR", None)
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
