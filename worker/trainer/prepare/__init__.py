"""The preparation of a table: fitted on the training rows by scikit-learn, applied to blocks of rows by numpy."""
