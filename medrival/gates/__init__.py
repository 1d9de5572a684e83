"""Gates: rules of a file that cases and pairs must meet, or the run fails. The file's format: docs/gates.md."""

from medrival.gates.baseline import Baseline
from medrival.gates.gates import Fate, Gates
from medrival.gates.judgement import Judgement
from medrival.gates.reading import Gate, read

__all__ = ["Baseline", "Fate", "Gate", "Gates", "Judgement", "read"]
