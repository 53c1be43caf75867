"""Sliders to play with a trained model in a live notebook."""

import ipywidgets as widgets
from IPython.display import display
from torchvision.transforms.functional import to_pil_image

from ..data import captions


def guidance_explorer(pipe, steps: int):
    """Digit, guidance scale and noise by slider; a change draws the image anew. Returns the widget, to be displayed."""
    prompts = captions(pipe.preset)
    digit = widgets.IntSlider(value=5, min=0, max=len(prompts) - 1, description="digit", continuous_update=False)
    w = widgets.FloatSlider(value=2.0, min=-1, max=20, step=0.5, description="w", continuous_update=False)
    seed = widgets.IntSlider(value=pipe.preset.seed, min=0, max=999, description="seed", continuous_update=False)

    def draw(digit, w, seed):
        image = pipe([prompts[digit]], w=w, steps=steps, seeds=[seed]).images[0].cpu()
        display(to_pil_image(image).resize((168, 168), resample=0))

    shown = widgets.interactive_output(draw, {"digit": digit, "w": w, "seed": seed})
    return widgets.HBox([widgets.VBox([digit, w, seed]), shown])
