"""The sample models: how each was made, and a card with what it is worth on frames it never saw.

    python tools/sample_models.py train       trains those whose file is missing
    python tools/sample_models.py cards       writes the cards and the table of sample_models/README

The published rMD17 file is not part of the project: FISHERDASH_SHARED_DATA names its folder.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fisherdash import dataset
from fisherdash.dataset import Dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "sample_models"
PUBLISHED = Path(os.environ.get("FISHERDASH_SHARED_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Recipe:
    """How a sample model is made.

    Attributes:
        name: of the file, without its ending.
        data: file that it is trained on; published files are named without their folder.
        frames, valid, epochs: as of the train command.
        options: further ones of that command; what is not named is its default, seed 0.
        test: file of the frames for the card, or "" for those of ``data`` that training left out.
        about: one sentence.
    """

    name: str
    data: str
    frames: int
    valid: int
    epochs: int
    test: str
    about: str
    options: str = ""

    @property
    def command(self) -> str:
        """The shell command, as one would type it in the repository's root."""
        words = ["python", "-m", "fisherdash", "train", self.data]
        words += ["--out", f"sample_models/{self.name}.safetensors"]
        words += ["--frames", str(self.frames), "--valid", str(self.valid)]
        return shlex.join([*words, "--epochs", str(self.epochs), *shlex.split(self.options)])

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return FOLDER / f"{self.name}.safetensors"

    def held_out(self) -> Dataset:
        """Frames that training has not seen, neither to learn nor to choose weights."""
        if self.test:
            return dataset.load(located(self.test))
        data = dataset.load(located(self.data))
        used = dataset.split(data, self.frames, self.valid, 0)
        seen = {frame.tobytes() for part in used for frame in part.positions}
        left = [i for i, frame in enumerate(data.positions) if frame.tobytes() not in seen]
        return data.subset(np.array(left))


SAMPLE = "sample_models/ethanol_500K.npz"
RECIPES = (
    Recipe(
        "ethanol-report",
        SAMPLE,
        1000,
        100,
        100,
        "",
        "Ethanol, the report's network.",
    ),
    Recipe(
        "ethanol-undertrained",
        SAMPLE,
        200,
        50,
        60,
        "",
        "Ethanol, stopped early on few frames on purpose.",
    ),
    Recipe(
        "ethanol-weak",
        SAMPLE,
        100,
        50,
        60,
        "",
        "Ethanol, a small network of few frames on purpose: the model of the demo.",
        "--features 16",
    ),
    Recipe(
        "ethanol-rmd17",
        "rmd17_ethanol_train_01.npz",
        900,
        100,
        100,
        "rmd17_ethanol_test_01.npz",
        "Ethanol of the published rMD17 set (PBE), split 1.",
    ),
    Recipe(
        "ethanol-reference",
        "rmd17_ethanol_train_01.npz",
        950,
        50,
        800,
        "rmd17_ethanol_test_01.npz",
        "The same set, trained long for small errors.",
        "--features 46 --basis 16 --cutoff 5 --batch-size 5 --learning-rate 0.01 --forces-weight 10"
        " --schedule cosine --average 0.999 --clip 1.5",
    ),
)


def located(name: str) -> Path:
    """A file of the repository or of the published data; exits with a sentence if missing."""
    for path in (ROOT / name, PUBLISHED / name):
        if path.exists():
            return path
    sys.exit(f"{name} is neither in {ROOT} nor in {PUBLISHED}; set FISHERDASH_SHARED_DATA")


def train(recipe: Recipe) -> None:
    """Runs the recipe's command, unless the checkpoint is there."""
    if recipe.path.exists():
        return
    words = shlex.split(recipe.command)
    words[0], words[words.index(recipe.data)] = sys.executable, str(located(recipe.data))
    subprocess.run(words, cwd=ROOT, check=True)


def card(recipe: Recipe) -> dict[str, object]:
    """Writes NAME.json: command, settings, seed, data and held-out errors."""
    model = checkpoint.load(recipe.path)
    errors = evaluate(model, recipe.held_out())
    content = {
        "name": recipe.name,
        "about": recipe.about,
        "command": recipe.command,
        "fingerprint": model.fingerprint,
        "parameters": model.num_parameters,
        "network": model.potential.to_json(),
        "training": dict(model.provenance),
        "held_out": {"data": recipe.test or f"the rest of {recipe.data}", **asdict(errors)},
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    recipe.path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return content


def table(cards: list[dict]) -> str:
    """The cards side by side, in Markdown."""
    lines = [
        "| model | frames | epochs | held-out frames | force RMSE | force MAE | energy RMSE |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in cards:
        held, training = entry["held_out"], entry["training"]
        lines.append(
            f"| `{entry['name']}` | {training['frames']} | {training['epochs']} "
            f"| {held['frames']} | {1000 * held['force_rmse']:.1f} meV/Å "
            f"| {1000 * held['force_mae']:.1f} meV/Å | {1000 * held['energy_rmse']:.1f} meV |"
        )
    return "\n".join(lines)


def main() -> None:
    """Trains or writes the cards; prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("train", "cards"))
    if parser.parse_args().what == "train":
        for recipe in RECIPES:
            train(recipe)
        return
    print(table([card(recipe) for recipe in RECIPES]))


if __name__ == "__main__":
    main()
