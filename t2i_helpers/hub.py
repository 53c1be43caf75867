"""The Hugging Face hub: is it there? Without it, libraries try again for minutes before they say so."""

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url


def reachable() -> bool:
    """Whether the hub answers within three seconds; False where HF_HUB_OFFLINE is set."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_hf_file_metadata(hf_hub_url("openai/clip-vit-base-patch32", "config.json"), timeout=3)
    except Exception:        # offline shows as any of a dozen types, and all of them mean no
        return False
    return True


def fail_fast_offline() -> None:
    """Before anything is fetched: let the libraries read their caches and fail fast, if there is no hub to ask."""
    if not reachable():
        import datasets

        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
