"""How the model is loaded: one function that returns what every dual encoder can do."""

import json
from zlib import crc32

import numpy as np
import torch

from medrival.contracts import DualEncoder


def greyscale(card, folder, device, dtype):
    """Images as small grey squares, texts as bags of hashed words; both projected by layers of seeded random weights."""
    shape = json.loads((folder / "config.json").read_text())
    torch.manual_seed(shape["seed"])
    tower = torch.nn.Sequential(torch.nn.Linear(shape["side"] ** 2, 32), torch.nn.Tanh(), torch.nn.Linear(32, shape["dim"]))
    module = torch.nn.ModuleDict({"image": tower, "text": torch.nn.Linear(shape["words"], shape["dim"])})
    module.eval().requires_grad_(False).to(device, getattr(torch, dtype))

    def prepare(images):
        grey = [np.asarray(image.convert("L").resize((shape["side"],) * 2), dtype=np.float32) / 255 for image in images]
        return torch.from_numpy(np.stack(grey))[:, None].expand(-1, 3, -1, -1)

    def image_features(pixels):
        return tower(pixels[:, 0].flatten(1).to(tower[0].weight))

    def text_features(texts):
        bags = torch.zeros(len(texts), shape["words"])
        for row, text in enumerate(texts):
            for word in text.lower().split():
                bags[row, crc32(word.encode()) % shape["words"]] += 1
        return module["text"](bags.to(tower[0].weight))

    return DualEncoder(module, tower, ("0", "2"), prepare, image_features, text_features, scale=10.0)
