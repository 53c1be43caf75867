"""From photographs to butterflies: a network trained on CIFAR-10 without captions is trained further on 4,424 butterfly
specimens, beside one from random weights."""

import dataclasses

import pyarrow.parquet
import torch
from torchvision.utils import save_image

from .. import paths, presets
from ..data import load_images, own_preset, to_uint8
from ..errors import SourceUnavailable
from ..paths import atomic_write, mirror
from ..randomness import generator
from ..training import Run, describe_checkpoint
from .fashion import trained, validation_loss
from .metrics import jackknife, kernel_distance
from .paintings import image_features
from .samples import experiment_record

BUTTERFLIES = "local/butterfly_specimens"
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


def transfer(pipe) -> dict:
    """Butterflies after some epochs, from a network of CIFAR-10's photographs without captions and from random weights:
    validation loss, distance of SAMPLES images from held-out ones in EfficientNet's features, losses; SHOWN images each
    as transfer.png beside the weights of `pipe`, whose size decides how long is trained."""
    size = pipe.preset.size
    preset = dataclasses.replace(own_preset(butterflies(), size, resolution=32), horizontal_flips=True, **SMALL)
    train_images, test = load_images(preset, "train"), load_images(preset, "test")
    epoch = -(-len(train_images) // preset.batch_size)
    chosen = torch.randperm(len(test), generator=generator("butterflies"))[:3 * SAMPLES]
    others, reference = image_features(test.images[chosen]).split([SAMPLES, 2 * SAMPLES])
    floor = jackknife(kernel_distance, others, reference)
    photographs = trained(dataclasses.replace(presets.get("cifar10", "improved", size), data_source="hub", **SMALL),
                          "photographs", max_steps=PHOTOGRAPH_STEPS[size])
    networks, losses, rows, strips, trials = {("photographs", 0): photographs}, {}, [], [], []
    for name, start in (("photographs", photographs.folder), ("random weights", None)):
        for epochs in EPOCHS[size]:
            out = f"butterflies-from-{name.replace(' ', '-')}-{epochs}-epochs"
            networks[name, epochs] = trained(preset, out, max_steps=epochs * epoch, start=start)
        losses[name] = [row["loss"] for row in Run(networks[name, epochs].folder).metrics()]
    for (name, epochs), network in networks.items():
        images = to_uint8(network([network.captions[0]] * SAMPLES, w=1.0, steps=STEPS, scheduler="ddim",
                                  seeds=range(SAMPLES)).images.cpu())
        strips.append(images[:SHOWN])
        distance = jackknife(kernel_distance, image_features(images), reference)
        rows.append({"variant": f"{name}, {epochs} epochs", "start": name, "epochs": epochs, "n": SAMPLES,
                     "kernel": distance | {"real": floor}, "validation_loss": validation_loss(network, test)})
    with atomic_write(pipe.folder / "transfer.png") as temporary:
        save_image(torch.cat(strips) / 255, temporary, nrow=SHOWN, padding=0)
    for name, (changes, parts) in TRIALS.items():
        changed = dataclasses.replace(preset, **changes)
        steps = len(train_images) // changed.batch_size // 2
        network = trained(changed, f"butterflies-{name.replace(' ', '-')}", max_steps=steps, start=photographs.folder,
                          accumulate=parts)
        trials.append({"variant": name, "n": steps, "validation_loss": validation_loss(network, test),
                       "seconds_a_step": Run(network.folder).metrics()[-1]["seconds"] / steps})
    checkpoint = describe_checkpoint(photographs.folder)
    del checkpoint["preset_hash"]                       # the network is smaller than CIFAR-10's preset
    return experiment_record(
        pipe, "evaluation.paintings", "evaluation.transfer", "training.loop", checkpoint=checkpoint, steps=STEPS,
        training_images=len(train_images), test_images=len(test), steps_an_epoch=epoch, rows=rows, trials=trials,
        curves=losses)
