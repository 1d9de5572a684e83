"""The audit of a data set: what its scores are worth, found out without a model."""

from medrival.tasks.audit.auditor import audit, code_digest

__all__ = ["audit", "code_digest"]
