"""A small NequIP, trained for one epoch, for a Python that has nequip: a checkpoint and a package.

python make_nequip.py FRAMES.xyz FOLDER
"""

import subprocess
import sys
from pathlib import Path

import yaml

frames, folder = (Path(word).resolve() for word in sys.argv[1:])
TYPES = ["O", "H", "C"]  # in no order of atomic numbers

settings = {
    "run": ["train"],
    "data": {
        "_target_": "nequip.data.datamodule.ASEDataModule",
        "seed": 0,
        "split_dataset": {"file_path": str(frames), "train": 20, "val": 5},
        "transforms": [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": TYPES,
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 4.0},
        ],
        "train_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 10},
        "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 5},
    },
    "trainer": {
        "_target_": "lightning.Trainer",
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "callbacks": [
            {
                "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                "dirpath": str(folder),
                "filename": "small",
            }
        ],
    },
    "training_module": {
        "_target_": "nequip.train.EMALightningModule",
        "loss": {
            "_target_": "nequip.train.EnergyForceLoss",
            "coeffs": {"total_energy": 1.0, "forces": 1.0},
        },
        "val_metrics": {
            "_target_": "nequip.train.EnergyForceMetrics",
            "coeffs": {"total_energy_mae": 1.0, "forces_mae": 1.0},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
        "model": {
            "_target_": "nequip.model.NequIPGNNModel",
            "seed": 0,
            "model_dtype": "float32",
            "type_names": TYPES,
            "r_max": 4.0,
            "num_layers": 2,
            "l_max": 1,
            "num_features": 8,
            "radial_mlp_depth": 1,
            "radial_mlp_width": 16,
            "readout_mlp_hidden_layers_depth": 1,
            "readout_mlp_hidden_layers_width": 12,
            "avg_num_neighbors": 7.0,
            "per_type_energy_scales": {"H": 0.9, "C": 1.8, "O": 1.4},
            "per_type_energy_shifts": {"H": -16.0, "C": -1035.8, "O": -2042.0},
            "pair_potential": {
                "_target_": "nequip.nn.pair_potential.ZBL",
                "units": "metal",
                "chemical_species": TYPES,
            },
        },
    },
    "global_options": {"allow_tf32": False},
}

(folder / "train.yaml").write_text(yaml.safe_dump(settings))
programs = Path(sys.executable).parent  # of the environment, where a link to its Python lies
train = ["-cp", folder, "-cn", "train", f"hydra.run.dir={folder}/out"]
subprocess.run([programs / "nequip-train", *train], check=True)
pack = ["build", folder / "small.ckpt", folder / "small.nequip.zip"]
subprocess.run([programs / "nequip-package", *pack], check=True)
