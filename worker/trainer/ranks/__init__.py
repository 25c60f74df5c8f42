"""One run on several devices: a process per device, called a rank; rank 0 is the trainer that the supervisor talks to.

    trainer (rank 0)      prepares, steps, evaluates, saves, and reports, as it does alone
      | TrainRequest      every other rank prepares the same training and loads the same checkpoint
      | NextStep ...      every rank computes the gradient of its rows; all add them up and make the same update
      | SendStates        a rank answers with its random states, for a checkpoint
      | RunOver           a rank waits for the next TrainRequest

Commands travel over a pipe from rank 0 to each other rank, as frames; only sums and the first weights travel over
torch.distributed. So a rank never waits in a collective operation that rank 0 does not take part in.
"""
