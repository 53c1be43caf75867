"""The loops that people write, from the thesis and from the examples of diffusers: the baselines of `t2i bench`.

They are complete and not made slower than they are found: the text encoder runs on every batch, images pass through
Pillow and a DataLoader, both branches of guidance are always computed. The text encoder has the size of CLIP ViT-B/32's
and random weights, because its speed does not depend on them.
"""

import contextlib

import diffusers
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

from t2i_helpers.data import captions
from t2i_helpers.diffusion import make_scheduler
from t2i_helpers.models.text import encoder_location


class Pictures(Dataset):
    """PIL images, converted to tensors one by one."""

    def __init__(self, images, preset):
        pixels = images.images.permute(0, 2, 3, 1).numpy()
        self.pictures = [Image.fromarray(image.squeeze(-1) if preset.channels == 1 else image) for image in pixels]
        self.labels = images.labels.tolist()
        steps = [transforms.ToTensor()]
        if preset.horizontal_flips:
            steps.insert(0, transforms.RandomHorizontalFlip())
        if preset.pixel_range[0] < 0:
            steps.append(transforms.Normalize([0.5] * preset.channels, [0.5] * preset.channels))
        self.transform = transforms.Compose(steps)

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        return self.transform(self.pictures[i]), self.labels[i]


class ClipSizedText:
    """A tokenizer and a CLIP ViT-B/32 text encoder with random weights: texts to [n, length, 512]."""

    def __init__(self, length, device):
        torch.manual_seed(0)
        self.tokenizer = AutoTokenizer.from_pretrained(encoder_location("minilm"))
        self.model = CLIPTextModel(CLIPTextConfig()).to(device).eval()
        self.length, self.device = length, device

    @torch.no_grad()
    def __call__(self, texts):
        tokens = self.tokenizer(texts, padding="max_length", max_length=self.length, truncation=True,
                                return_tensors="pt").input_ids
        return self.model(tokens.to(self.device)).last_hidden_state


def train(unet, preset, images, device, steps, mixed_precision=False):
    """`steps` training steps; yields after each. As in the thesis: float32, AdamW, nothing fused. With
    `mixed_precision`, as in diffusers' text-to-image example: bfloat16 autocast, gradient clipping, moving average."""
    text, known = ClipSizedText(preset.max_length, device), captions(preset)
    if mixed_precision:
        text.model.to(torch.bfloat16)
    scheduler = make_scheduler(preset, "ddpm")
    optimizer = torch.optim.AdamW(unet.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay,
                                  foreach=False)
    average = diffusers.training_utils.EMAModel(unet.parameters()) if mixed_precision else None
    loader = DataLoader(Pictures(images, preset), preset.batch_size, shuffle=True, num_workers=2, drop_last=True)
    done = 0
    while True:
        for x_0, labels in loader:
            x_0 = x_0.to(device)
            c = text([known[label] for label in labels]).float()
            noise = torch.randn_like(x_0)
            t = torch.randint(0, preset.train_timesteps, (len(x_0),), device=device)
            x_t = scheduler.add_noise(x_0, noise, t)
            predicts_v = preset.prediction == "v_prediction"
            target = scheduler.get_velocity(x_0, noise, t) if predicts_v else noise
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                loss = F.mse_loss(unet(x_t, t, encoder_hidden_states=c).sample.float(), target)
            optimizer.zero_grad()
            loss.backward()
            if mixed_precision:
                torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            if average:
                average.step(unet.parameters())
            loss.item()
            done += 1
            yield
            if done == steps:
                return


@torch.no_grad()
def sample(unet, preset, cond, null, w, scheduler, steps, generators, mixed_precision=False):
    """Images in [0, 1] by classifier-free guidance, with both branches in one batch at every step; `cond` and
    `null` are the embeddings of the captions, [n, length, dim], and of the empty one, [1, length, dim]."""
    device, embeddings = unet.device, torch.cat([null.expand_as(cond), cond])               # [2n, length, dim]
    scheduler.set_timesteps(steps, device=device)
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    x = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device) * scheduler.init_noise_sigma
    autocast = torch.autocast(device.type, torch.bfloat16) if mixed_precision else contextlib.nullcontext()
    for t in scheduler.timesteps:
        both = scheduler.scale_model_input(torch.cat([x, x]), t)
        with autocast:
            without, with_caption = unet(both, t, encoder_hidden_states=embeddings).sample.float().chunk(2)
        extra = {"generator": generators} if isinstance(scheduler, diffusers.DDPMScheduler) else {}
        x = scheduler.step(without + w * (with_caption - without), t, x, **extra).prev_sample
    low, high = preset.pixel_range
    return ((x - low) / (high - low)).clamp(0, 1)
