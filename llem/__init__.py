"""llem measures the energy, speed and memory of LLM inference.

The command line is the front door (``llem --help``). The parts that scripts use are imported by
their own names, so that nothing heavy is loaded unasked: ``llem.study`` runs and resumes studies,
``llem.journal`` reads and audits a study's journal, ``llem.projections`` folds it into the manifest
and the results.
"""

from llem.version import __version__

__all__ = ["__version__"]
