"""medrival: can a general vision-language model rival the medical one?"""

__version__ = "0.1.0"
