"""Why a script does not learn: what it hands to `fit`, and experiments on it."""
