"""Category names: the vocabularies of the benchmarks, and free words."""

from __future__ import annotations

from univs.vocabularies.vocabulary import Vocabulary, known, parse, plain_name, vocabulary

__all__ = ["Vocabulary", "known", "parse", "plain_name", "vocabulary"]
