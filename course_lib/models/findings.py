"""What a diagnosis consists of: findings, each with its figures, what to try, and its chapter."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from course_lib.checks import inline
from course_lib.models.examination import Examination
from course_lib.models.layer_flow import LayerFlow
from course_lib.models.objectives import counted
from course_lib.models.time_steps import TimeStepFlow
from course_lib.models.trial import Trial

__all__ = ["KINDS", "SEVERITIES", "Diagnosis", "Finding", "course_of"]

SEVERITIES = ("fault", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """A kind of finding: what to try, and the notebook that explains it."""

    advice: str
    chapter: str


KINDS: dict[str, Kind] = {
    "non-finite numbers": Kind(
        "Look at the layer named here first: a logarithm or a division that meets 0, a square "
        "root at 0, a weight that an earlier run left as NaN. Load weights from before it "
        "happened; clip the gradient by its global norm if a rare large one does it.",
        "09_gradient_clipping",
    ),
    "constant input": Kind(
        "Look at the samples on their way to the model: a file that was not read, a column chosen "
        "twice, a division of whole numbers, a scaling that leaves only 0.",
        "17_the_gradient_clinic",
    ),
    "constant targets": Kind(
        "Pass samples of every kind, or a larger `samples`; if all of them are like this, look at "
        "what makes the labels.",
        "17_the_gradient_clinic",
    ),
    "output that does not fit": Kind(
        "A cross-entropy takes probabilities, from a softmax or a sigmoid, or logits with "
        "`from_logits=True`; yes and no are 1 and 0; where targets are any numbers, the last layer "
        "has no activation.",
        "17_the_gradient_clinic",
    ),
    "scale of the input": Kind(
        "Bring every column to mean 0 and standard deviation 1 with the figures of the training "
        "set (`keras.layers.Normalization`), or pixels to -1 ... 1 (`keras.layers.Rescaling`).",
        "03_initialization",
    ),
    "scale of the targets": Kind(
        "Subtract the mean of the training set's targets and divide by their standard deviation, "
        "and turn answers back with the same two figures.",
        "17_the_gradient_clinic",
    ),
    "mask that hides data": Kind(
        "Let the mask be True where there is data and False at the padding: "
        "`mask=keras.ops.not_equal(tokens, 0)`; `Embedding(mask_zero=True)` only where no word has "
        "the number 0, `Masking(mask_value=...)` with a value that the data do not have.",
        "13_sequence_models",
    ),
    "Batch Norm in the wrong mode": Kind(
        "Leave `training=` to `fit` and `predict`. Set `trainable=False` on a Batch Norm only "
        "where the data are those that its moving statistics are of; else let it learn them "
        "(`trainable=True`).",
        "04_batch_normalization",
    ),
    "exploding in depth": Kind(
        "Start with smaller weights (He for ReLU, Glorot for tanh), add normalisation, or scale "
        "down the branches of residual blocks; clipping only hides it.",
        "03_initialization",
    ),
    "exploding in time": Kind(
        "Clip the gradient by its global norm (`global_clipnorm=1.0`), use tanh and an orthogonal "
        "recurrent start, or an LSTM or GRU.",
        "09_gradient_clipping",
    ),
    "dead units": Kind(
        "Start the dead layer anew with He's weights and biases of 0; lower the learning rate that "
        "killed it; Leaky ReLU, ELU or GELU let something through.",
        "02_activation_functions",
    ),
    "saturated units": Kind(
        "Make what enters the activation smaller: Glorot's weights, biases of 0, normalisation in "
        "front of it, inputs brought to scale.",
        "02_activation_functions",
    ),
    "saturated gates": Kind(
        "Start the biases of the gates at Keras's defaults (0, and 1 for an LSTM's forget gate), "
        "and bring the inputs to scale.",
        "11_lstm_gates",
    ),
    "units that stay alike": Kind(
        "Draw the weights at random (Glorot, He), so that every unit gets a gradient of its own; "
        "0 is for biases, and for the last matrix of a residual branch.",
        "03_initialization",
    ),
    "regularisation too strong": Kind(
        "Try a tenth of it, and a tenth again, until the loss on the training set falls; biases "
        "and the parameters of normalisation need none.",
        "16_regularization",
    ),
    "learning rate too high": Kind(
        "Try a tenth of it, and a tenth again; a warm-up lets a network begin gently.",
        "06_optimizers_and_adam",
    ),
    "learning rate too low": Kind(
        "Try thirty times as much, and thirty times again; Adam at 0.001 is a good first guess.",
        "06_optimizers_and_adam",
    ),
    "vanishing in depth": Kind(
        "ReLU with He's start instead of sigmoid or tanh, normalisation, skip connections, or "
        "fewer layers.",
        "01_where_gradients_go",
    ),
    "vanishing in time": Kind(
        "An LSTM with a forget bias of 1 or more, an orthogonal or identity start, shorter "
        "sequences, or attention, whose path does not grow with the distance.",
        "08_gradients_through_time",
    ),
    "constant output": Kind(
        "Check the output layer against the targets: one unit takes a sigmoid and not a softmax, "
        "targets below 0 take no ReLU, and its biases start at 0.",
        "17_the_gradient_clinic",
    ),
    "no gradient": Kind(
        "Look at what lies between this layer and the loss: a `stop_gradient`, an argmax, a cast "
        "to whole numbers, NumPy inside the model, an output without a loss. Where it is meant, "
        "`trainable=False` says so.",
        "01_where_gradients_go",
    ),
    "no progress": Kind(
        "Where no figure is out of range, look at the data and the loss: do labels and samples "
        "belong together, does the loss get logits where it expects them, is every layer "
        "trainable that should be?",
        "17_the_gradient_clinic",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing that stands out.

    Attributes
    ----------
    kind : str
        A name in `KINDS`.
    severity : str
        ``"fault"``: out of range and shown to do harm; ``"warning"``: it may be the cause of one;
        ``"note"``: out of range, and the network trains.
    where : str
        The layer, and the time step (counted from 1).
    sentence : str
        What was measured, in words.
    evidence : dict of str to float
        The figures.
    """

    kind: str
    severity: str
    where: str
    sentence: str
    evidence: dict[str, float]

    @property
    def advice(self) -> str:
        """What to try."""
        return KINDS[self.kind].advice

    @property
    def chapter(self) -> str:
        """The notebook of the course that explains it."""
        return KINDS[self.kind].chapter


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    model : str
        The model's name.
    findings : list of Finding
        Faults first, then warnings, then notes; among equals the cause before what follows of it.
    flow : LayerFlow
        How much of the gradient arrives at every layer.
    time_flows : dict of str to TimeStepFlow
        How much arrives at every time step, by recurrent layer.
    trial : Trial or None
        What became of the loss with the model's own optimiser; None if it could not be tried.
    cures : dict of str to Trial
        What became of it when something was changed, by what was.
    examination : Examination
        Everything that was measured before anything was tried: units, gates, inputs, masks.
    samples : int
        Samples that were looked at.
    seconds : float
    remarks : tuple of str
        What to know of the trial: sentences that `summary` ends with.
    """

    model: str
    findings: list[Finding]
    flow: LayerFlow
    time_flows: dict[str, TimeStepFlow]
    trial: Trial | None
    cures: dict[str, Trial]
    examination: Examination
    samples: int
    seconds: float
    remarks: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is no fault; notes and warnings may be there."""
        return not self.faults

    @property
    def faults(self) -> list[Finding]:
        """The findings that were shown to do harm."""
        return [finding for finding in self.findings if finding.severity == "fault"]

    def summary(self) -> str:
        """Say in a sentence or two how the network is."""
        outcome = self.trial.outcome if self.trial else ""
        if self.faults:
            kinds = " and ".join(dict.fromkeys(finding.kind for finding in self.faults))
            verdict = f"{self.model}: {kinds}."
        elif outcome == "unfinished":
            verdict = (
                f"{self.model} had no time to show whether it learns; pass a larger `seconds`."
            )
        elif outcome == "falls":
            verdict = (
                f"{self.model} had not learnt by the end of the trial, but the loss was still "
                "falling; pass more `steps`."
            )
        elif outcome != "learns":
            kinds = " or ".join(dict.fromkeys(finding.kind for finding in self.findings))
            where = "out of hand" if outcome == "diverges" else "nowhere"
            verdict = f"{self.model} got {where} in the trial: {kinds}."
        elif any(finding.kind == "constant targets" for finding in self.findings):
            verdict = f"{self.model} was not put to the test: constant targets."
        elif self.findings:
            verdict = f"{self.model} learns. Something stands out, and does no harm by itself."
        else:
            verdict = f"{self.model} learns, and nothing stands out."
        return " ".join([verdict, *self._about_the_trial(), *self.remarks])

    def _about_the_trial(self) -> list[str]:
        if self.trial is None:
            return []
        return [course_of(self.trial, self.samples)]

    def __str__(self) -> str:
        parts = [self.summary()]
        for finding in self.findings:
            parts += [
                "",
                f"{finding.severity.upper()}: {finding.kind}, {finding.where}",
                f"  {finding.sentence}",
                f"  Try: {finding.advice}",
                f"  Chapter: {finding.chapter}",
            ]
        return "\n".join(parts)

    def __repr__(self) -> str:
        kinds = ", ".join(finding.kind for finding in self.faults)
        return f"<Diagnosis of {self.model}: {kinds or 'healthy'}>"

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><b>{finding.severity}: {html.escape(finding.kind)}</b>, "
            f"{html.escape(finding.where)}. {inline(finding.sentence)} "
            f"<i>Try:</i> {inline(finding.advice)} "
            f"<i>Chapter:</i> <code>{finding.chapter}</code></li>"
            for finding in self.findings
        )
        found = f"<ul>{items}</ul>" if items else ""
        return f"<div><p>{inline(self.summary())}</p>{found}</div>"


def course_of(trial: Trial, samples: int) -> str:
    """Say in a sentence what became of the loss."""
    came = "was no longer finite"
    if np.isfinite(trial.last):
        came = f"came to {trial.last:.3g}" + ", with weights NaN or infinite" * trial.spoilt
    compared = (
        f"the best constant answer has {trial.baseline:.3g}"
        if np.isfinite(trial.baseline)
        else "what the best constant answer has is not known"
    )
    return (
        f"In a trial of {counted(len(trial.losses), 'step')} on {counted(samples, 'sample')} with "
        f"{trial.optimizer} at {trial.learning_rate:.2g} the loss began at {trial.first:.3g} and "
        f"{came}; {compared}."
    )
