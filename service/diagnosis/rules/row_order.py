"""R34: rows that are trained on in the order of the file, where neighbours are alike."""

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import share_held, share_learned, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit


def unshuffled_rows(record: RunRecord) -> Outcome:
    """R34: with rows in the order of the file, the losses of one epoch's batches differ by much, and little holds.

    Batches of alike rows pull the weights to and fro, and the model is best at what it saw last.
    """
    spec, loss, trivial = record.plan.spec, record.get("loss"), trivial_loss(record)
    if spec.shuffle or spec.sampler is not None or record.plan.full_batch:
        return NoFinding("every batch is drawn from all rows.")
    reached = [each for each in (share_learned(record), share_held(record)) if each is not None]
    if loss is None or trivial is None or not reached or record.step < 2 * spec.steps_per_epoch:
        return NoFinding("two epochs and a scale of the loss are needed to compare batches.")
    if min(reached) > limit("R29.most"):
        return NoFinding(f"the rows are not shuffled, and {min(reached):.0%} of the way is done all the same.")
    epoch = loss.between(record.step - spec.steps_per_epoch + 1, record.step)
    spread, at = float(np.std(epoch.values)), limit("R34.spread") * abs(trivial.value)
    came, held = share_learned(record), share_held(record)
    last_seen = came is not None and held is not None and held < limit("R29.most") * came
    if spread < at and not last_seen:
        return NoFinding("the rows are not shuffled, but the losses of their batches are alike.")
    return Finding(
        level="warning",
        verdict="rows_not_shuffled",
        text=f"The rows are trained on in the order of the file, and neighbours are alike: within one epoch the losses "
        f"of the batches spread by {spread:.3g}. The model is best at what it saw last.",
        confidence=0.75,
        steps=(int(epoch.steps[0]), record.step),
        evidence=[
            observation("/shuffle", "false"),
            evidence(
                "spread of one epoch's losses", spread, ">" if spread >= at else "<", "R34.spread", series="loss", at=at
            ),
            *(
                [observation("share of the way on validation rows", held, "recorded", "val/loss")]
                if last_seen and held
                else []
            ),
        ],
        patch=[remedies.replace("/shuffle", True)],
        remedy="Shuffle the rows.",
        expect=Expect("the loss falls steadily, and the validation loss with it", "both stay as they are"),
    )
