"""The filter language of lists: fields, words, grammar. It knows no SQL."""
