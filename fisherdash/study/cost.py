"""What a study will take: its trainings, re-fits and dynamics, one after the other."""

from fisherdash.study.plan import load_data
from fisherdash.study.spec import Spec
from fisherdash.workspace import estimates
from fisherdash.workspace.estimates import Estimate, Network


def estimate_of(spec: Spec) -> Estimate:
    """All stages of all members, as if none were done yet and one member came after the other.

    Every frame of a data set is kept once more, in the study's own copy; trajectories are not.

    Raises:
        InputError: for data that cannot be read.
    """
    sets = load_data(spec)
    parts, copies = [], 0.0
    for data in sets.values():
        copies += estimates.frames_on_disk(len(data), data.num_atoms)
    for model in spec.models:
        data, valid = sets[model.data], spec.data[model.data].valid
        atoms, network = data.num_atoms, Network.planned(model.config)
        elements = len(set(data.atomic_numbers.tolist()))
        parts.append(estimates.train(atoms, model.frames, valid, model.config, model.train))
        parts += [
            estimates.refit(network, atoms, model.frames, elements, options)
            for options in spec.heads.values()
        ]
        heads = [network] * (1 + len(spec.heads))
        parts += [estimates.simulate(heads, atoms, settings) for settings in spec.dynamics]
    whole = Estimate("study", 0.0, disk=copies).together("study", *parts)
    kept = copies + 4.0 * sum(
        Network.planned(model.config).parameters * (1 + len(spec.heads)) for model in spec.models
    )
    return Estimate("study", whole.work, whole.memory, kept, whole.steps)
