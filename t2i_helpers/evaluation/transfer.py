"""From photographs to butterflies: a network trained on CIFAR-10 without captions is trained further on 4,424 butterfly
specimens, beside one from random weights."""

import dataclasses

import pyarrow.parquet
import torch
from torchvision.io import write_png
from torchvision.utils import make_grid

from .. import paths, presets
from ..data import load_images, own_preset, to_uint8
from ..errors import SourceUnavailable
from ..models import load_pipeline
from ..paths import RUNS, atomic_write, mirror
from ..provenance import best_device, code_record, record
from ..randomness import generator
from ..training import describe_checkpoint, train
from .fashion import validation_loss
from .metrics import jackknife, kernel_distance
from .paintings import image_features
from .samples import DRAWING, MEASURING

BUTTERFLIES = "local/butterfly_specimens"
CODE = (*DRAWING, *MEASURING, "evaluation.paintings", "evaluation.transfer", "training.loop")
SMALL = dict(network="plain-unet", block_channels=(16, 32, 64), down_blocks=(presets.DOWN,) * 3, layers_per_block=1,
             text_encoder="random", caption_dropout=1.0, attention_head_dim=8, beta_schedule="linear", batch_size=64,
             learning_rate=1e-3, learning_rate_decay="none", min_snr_gamma=None, ema_decay=0.99, warmup_steps=20)
PHOTOGRAPH_STEPS = {"full": 20_000, "demo": 800}
EPOCHS = {"full": (1, 10, 50), "demo": (1, 10)}
SAMPLES, SHOWN, STEPS = 100, 10, 20
TRIALS = {                        # half an epoch each: changes of the preset, and parts of a batch
    "as above": ({}, 1), "learning rate 1e-4": ({"learning_rate": 1e-4}, 1),
    "learning rate 1e-2": ({"learning_rate": 1e-2}, 1), "batches of 16": ({"batch_size": 16}, 1),
    "batches of 64 in 4 parts": ({}, 4),
}


def butterflies():
    """The specimens as a file of own images in ``data/``; SourceUnavailable where the mirror does not have them."""
    folder, path = mirror("datasets", BUTTERFLIES), paths.DATA / "butterflies.parquet"
    if not folder:
        raise SourceUnavailable(f"the butterflies are read from a mirror: put Parquet files with a column image into "
                                f"datasets/{BUTTERFLIES} of T2I_MIRROR")
    if not path.exists():
        images = pyarrow.parquet.read_table(sorted(folder.rglob("*.parquet")), columns=["image"])
        captions = pyarrow.array(["a butterfly"] * len(images))
        with atomic_write(path) as temporary:
            pyarrow.parquet.write_table(images.append_column("caption", captions), temporary)
    return path


def photographs_preset(size: str):
    """CIFAR-10 without captions, for a network of 640,000 parameters."""
    return dataclasses.replace(presets.get("cifar10", "improved", size), data_source="hub", **SMALL)


def butterflies_preset(size: str):
    """The butterflies, for the same network."""
    own = own_preset(butterflies(), size, resolution=32)
    return dataclasses.replace(own, caption="{}", horizontal_flips=True, **SMALL)


def transfer(pipe) -> dict:
    """Butterflies after some epochs, from the network of photographs and from random weights: validation loss, distance
    of SAMPLES images from held-out ones in EfficientNet's features, losses; SHOWN images each as transfer.png
    beside the weights of `pipe`, whose size decides how long is trained."""
    size, folder = pipe.preset.size, pipe.folder
    preset, photographs = butterflies_preset(size), RUNS / f"photographs-{size}"
    train(photographs_preset(size), photographs, max_steps=PHOTOGRAPH_STEPS[size])
    train_images, test = load_images(preset, "train"), load_images(preset, "test")
    epoch = -(-len(train_images) // preset.batch_size)
    chosen = torch.randperm(len(test), generator=generator("butterflies"))[:3 * SAMPLES]
    others, reference = image_features(test.images[chosen]).split([SAMPLES, 2 * SAMPLES])
    floor = jackknife(kernel_distance, others, reference)
    networks, losses, rows, strips = {("photographs", 0): photographs}, {}, [], []
    for name, start in (("photographs", photographs), ("random weights", None)):
        for epochs in EPOCHS[size]:
            networks[name, epochs] = out = RUNS / f"butterflies-from-{name.replace(' ', '-')}-{epochs}-epochs-{size}"
            run = train(preset, out, max_steps=epochs * epoch, start=start)
        losses[name] = [row["loss"] for row in run.metrics()]
    for (name, epochs), network in ((key, load_pipeline(folder)) for key, folder in networks.items()):
        images = to_uint8(network([network.captions[0]] * SAMPLES, w=1.0, steps=STEPS, scheduler="ddim",
                                  seeds=range(SAMPLES)).images.cpu())
        strips.append(images[:SHOWN])
        distance = jackknife(kernel_distance, image_features(images), reference)
        rows.append({"variant": f"{name}, {epochs} epochs", "start": name, "epochs": epochs, "n": SAMPLES,
                     "kernel": distance | {"real": floor}, "validation_loss": validation_loss(network, test)})
    with atomic_write(folder / "transfer.png") as temporary:
        write_png(make_grid(torch.cat(strips), nrow=SHOWN, padding=0), str(temporary))
    trials = []
    for name, (changes, parts) in TRIALS.items():
        out = RUNS / f"butterflies-{name.replace(' ', '-')}-{size}"
        changed = dataclasses.replace(preset, **changes)
        steps = len(train_images) // changed.batch_size // 2
        run = train(changed, out, max_steps=steps, start=photographs, accumulate=parts)
        trials.append({"variant": name, "n": steps, "seconds_a_step": run.metrics()[-1]["seconds"] / steps,
                       "validation_loss": validation_loss(load_pipeline(out), test)})
    checkpoint = describe_checkpoint(photographs)
    del checkpoint["preset_hash"]                       # the network is smaller than CIFAR-10's preset
    return record(best_device(), checkpoint=checkpoint, **code_record(*CODE), steps=STEPS,
                  weights_sha256_16=pipe.weights_sha256_16, training_images=len(train_images), test_images=len(test),
                  steps_an_epoch=epoch, rows=rows, trials=trials, curves=losses)
