"""The words for a training log, and for each what to try first and what no log can tell."""

DIVERGED = "diverged"
NEGATIVE = "negative loss"
ZERO = "loss of zero"
NO_MEANING = "metric without meaning"
SATURATED = "saturated output"
CHANCE = "at chance"
CONSTANT = "constant output"
METRIC_STILL = "loss falls, metric does not"
INFERENCE_WORSE = "inference far worse than training"
RATE_HIGH = "learning rate too high"
RATE_LOW = "learning rate too low"
PENALTY = "penalty in the loss"
OVERFITTING = "overfitting"
TRAINING_WORSE = "training worse than validation"
IMPROVING = "still improving"
HEALTHY = "healthy"
NOTHING = "no clear symptom"

ADVICE = {
    DIVERGED: (
        "A learning rate ten times smaller; inputs and targets scaled to about -1 to 1; `clipnorm=1` in the optimizer.",
        "Whether steps are too large, the data are, or a NaN is in the data: `np.isfinite(x).all()` tells the last.",
    ),
    NEGATIVE: (
        "Look at the labels: binary crossentropy needs 0 and 1 (not -1 and 1, not 1 and 2) and a sigmoid before it.",
        "Whether the loss is one that may be negative: cosine similarity, a log-likelihood, one of your own.",
    ),
    ZERO: (
        "Look at the output: one softmax unit is always 1. Two classes need one sigmoid unit or two softmax units.",
        "Whether the targets are all the same, or part of the inputs.",
    ),
    NO_MEANING: (
        "Leave accuracy out; watch the mean absolute error, beside that of always answering the mean of the targets.",
        "Whether this is a regression. With classes, so low an accuracy means labels and outputs that do not fit.",
    ),
    SATURATED: (
        "Start again from fresh weights, with inputs scaled to about 0 to 1 and a learning rate ten times smaller.",
        "Which of the two drove the outputs there.",
    ),
    CHANCE: (
        "Take regularizers and dropout away, scale the inputs to about 0 to 1 (once), and try learning rates ten times "
        "smaller and larger: one change at a time.",
        "The reason. Inputs too small or too large, the learning rate, a penalty or dropout too strong, dead units and "
        "shuffled labels all print this.",
    ),
    CONSTANT: (
        "Count what it predicts (`np.unique(model.predict(x).argmax(1), return_counts=True)`) beside the labels.",
        "The reason. Classes of very different size, dead units, a penalty or dropout too strong, inputs or a learning "
        "rate too small or too large all end there.",
    ),
    METRIC_STILL: (
        "Print a few predictions beside their labels: does the metric read them as you mean (threshold, labels one-hot "
        "or not, logits)? For two classes: one sigmoid unit, `binary_crossentropy`, `binary_accuracy`.",
        "Whether the part of the loss that falls is the data's at all: a penalty falls too.",
    ),
    INFERENCE_WORSE: (
        "`model.evaluate` the training samples. If they are bad there too it is batch norm: `momentum=0.9`, larger "
        "batches, or more steps.",
        "Whether there is a batch norm at all: very few training samples, or held-out samples that are prepared "
        "otherwise, print the same.",
    ),
    RATE_HIGH: (
        "A learning rate ten times smaller, and inputs scaled to about 0 to 1.",
        "Whether the rate is to blame: unscaled inputs, very small batches and dropout shake a loss too.",
    ),
    RATE_LOW: (
        "A learning rate ten times larger, then a hundred times.",
        "Whether the rate is to blame: inputs far too small, saturated units and a strong penalty slow a net as much.",
    ),
    PENALTY: (
        "Compare accuracies or errors, not losses, of nets with different penalties; `sum(model.losses)` is the "
        "penalty's part. If the net learns too little, divide the coefficient by ten.",
        "How much of it the penalty is. Class weights, label smoothing, a second output, unscaled inputs or a loss of "
        "another kind than the metric print the same.",
    ),
    OVERFITTING: (
        "Stop there (`EarlyStopping(restore_best_weights=True)`); then more data, a smaller net, dropout or a penalty.",
        "Whether it costs accuracy: a rising loss beside a steady accuracy is a net that is too sure of itself.",
    ),
    TRAINING_WORSE: (
        "Nothing, as a rule: training figures are means over an epoch, with dropout on. `model.evaluate` the training "
        "samples to compare. If the net learns too little, halve the dropout.",
        "Whether it is dropout, other noise, the mean over the epoch, or validation samples that are easier.",
    ),
    IMPROVING: ("More epochs; then compare.", "Where it would end."),
    HEALTHY: (
        "Nothing that the log asks for.",
        "Whether the net could do better: compare with a simple model on the same data.",
    ),
    NOTHING: (
        "Train longer, with validation data and an accuracy or error as metric, and look at the new log.",
        "Whether the net learns at all.",
    ),
}
"""Word → (what to try first, what the log cannot tell), in the order in which a log's words are told."""

HARMLESS = (PENALTY, TRAINING_WORSE, IMPROVING, HEALTHY, NOTHING)
"""Words that name no fault: how a loss is made up or measured, or that training may go on."""
