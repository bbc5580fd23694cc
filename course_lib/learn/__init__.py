"""Claims, predictions, exercises, quizzes, sources and progress: what a chapter says to its reader.

Chapters write `from course_lib import learn` and use the names below. Nothing here imports
TensorFlow, nothing leaves the machine, and no answer of a reader, however odd, stops a notebook.
"""

from course_lib.learn.agreement import agree
from course_lib.learn.audit_page import audit
from course_lib.learn.claims import ClaimFailed, claim, seed
from course_lib.learn.exercises import check, hint, solution
from course_lib.learn.predictions import predict, reveal
from course_lib.learn.progress import progress
from course_lib.learn.quizzes import quiz
from course_lib.learn.reference import document_map, glossary
from course_lib.learn.sources import sources
from course_lib.learn.verdict_page import tally, verdicts

__all__ = [
    "ClaimFailed",
    "agree",
    "audit",
    "check",
    "claim",
    "document_map",
    "glossary",
    "hint",
    "predict",
    "progress",
    "quiz",
    "reveal",
    "seed",
    "solution",
    "sources",
    "tally",
    "verdicts",
]
