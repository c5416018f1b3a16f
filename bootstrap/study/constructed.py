"""Problems of a study that starts from a constructed network."""

from deepboot.bootstrap.constructions import constructed
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.schema import Start, Study, own_settings
from deepboot.bootstrap.task import Task
from deepboot.bootstrap.wording import reason

OF_A_FOLDER = ("world", "seed", "where", "step", "layers")  # settings of a start from kept weights


def construction_problems(study: Study, task: Task) -> list[str]:
    """Problems of a construction with a task and a model that go together themselves."""
    if study.start is None or study.start.construction is None:
        return []
    try:
        stack = Stack(study.model["name"], own_settings(study.model), task)
        constructed(study.start.construction, task, study.model, dict(zip(stack.names, stack.shapes, strict=True)))
    except (Exception, SystemExit) as error:  # a plugin's construction may raise anything
        return [f"`start.construction`: {reason(error, 'Mend the construction.')}"]
    return []


def start_problems(start: Start | None) -> list[str]:
    """Problems of the settings of a start among themselves."""
    if start is None:
        return []
    if (start.folder is None) == (start.construction is None):
        return [
            f"`start`: expected exactly one of folder and construction, got {'both' if start.folder else 'neither'}. "
            "Name the folder with the weights of another study, or a construction."
        ]
    defaults = Start()
    return [
        f"`start.{name}`: this is about the runs of start.folder, and the start is constructed. Remove the key."
        for name in OF_A_FOLDER
        if start.construction is not None and getattr(start, name) != getattr(defaults, name)
    ]
