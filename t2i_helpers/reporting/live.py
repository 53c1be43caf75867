"""A view of a training that is updated in place: the loss, the speed, the time left and the latest images."""

import time

import torch
from IPython.display import Image as Picture
from IPython.display import display

from .drawing import image_grid, line, new_figure, smoothed
from .exhibits import inline_image


class TrainingView:
    """Of a training of `steps` steps of `batch_size` images, of which some may be done."""

    def __init__(self, steps: int, batch_size: int, done: int = 0):
        self.steps, self.batch_size, self.done = steps, batch_size, done
        self.began, self.shown = time.monotonic(), None

    def update(self, losses: list[float], images: torch.Tensor) -> None:
        """Show the losses of all steps so far, and images [rows, columns, c, h, w] in [0, 1]."""
        done, (steps, means) = len(losses), smoothed(losses)
        speed = (done - self.done) / (time.monotonic() - self.began)                            # steps/s
        figure, ((curve, grid),) = new_figure(1, 2, 2.2, width_ratios=(2, 3))
        curve.plot(range(1, done + 1), losses, color=line(1)["color"], alpha=0.25, linewidth=0.6)
        curve.plot(steps, means, **line(1, marker=""))
        curve.set(yscale="log", xlabel="step", ylabel="loss", title=f"loss, mean of {steps[0]} steps: {means[-1]:.3f}")
        image_grid(grid, images, title=f"step {done} of {self.steps}: {speed * self.batch_size:.0f} images/s, "
                                       f"{(self.steps - done) / speed:.0f} s left")
        picture = Picture(data=inline_image(figure))
        self.shown = self.shown or display(picture, display_id=True)
        self.shown.update(picture)
