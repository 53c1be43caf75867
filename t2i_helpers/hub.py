"""Whether the Hugging Face hub can be reached. Without it, its libraries retry for minutes before they fail."""

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

OFFLINE = constants.HF_HUB_OFFLINE      # what the user asked for; fail_fast_offline changes the libraries' flag


def reachable() -> bool:
    """Whether the hub answers within three seconds; False if the user set HF_HUB_OFFLINE."""
    if OFFLINE:
        return False
    constants.HF_HUB_OFFLINE = False
    try:
        get_hf_file_metadata(hf_hub_url("openai/clip-vit-base-patch32", "config.json"), timeout=3)
    except Exception:        # a missing connection shows as any of a dozen types
        return False
    return True


def fail_fast_offline() -> None:
    """Call this before every download: if the hub cannot be reached now, the libraries only read their caches."""
    import datasets

    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = not reachable()
