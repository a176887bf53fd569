"""The training step as one graph of PyTorch, without Python between its operations.

Keras calls PyTorch operation by operation; on a fast GPU, launching them takes longer than their arithmetic. Here the
step is traced once, into the plain list of its operations with gradients and optimizers (``make_fx``), and on a GPU
this list is recorded as a CUDA graph, which is launched as a whole. The result is the same.
"""

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

WARM_UP = 3  # steps after which every weight, momentum and workspace exists


class CapturedStep:
    """``trainer.train_step``, traced on a first batch.

    The learning rates must be numbers of the optimizers, not schedules, since a trace has no branches; set them between
    two steps. The first batches are learned from as any others.

    Args:
        trainer: a :class:`tfar.training.trainer.Trainer` that has begun a phase, on the torch backend.
        batch: as :meth:`tfar.data.patches.Patches.batch` gives it, as tensors on the device of the weights; all later
            ones have its shapes and types.

    Example:
        step = CapturedStep(trainer, batch)
        logs = step(next_batch)
    """

    def __init__(self, trainer, batch):
        for _ in range(WARM_UP):
            trainer.train_step(batch)
        leaves, self._structure = pytree.tree_flatten(batch)
        self._inputs = [leaf.clone() for leaf in leaves]
        self._step = make_fx(lambda *leaves: trainer.train_step(pytree.tree_unflatten(leaves, self._structure)))(
            *self._inputs
        )
        self._graph = self._recorded() if self._inputs[0].is_cuda else None

    def __call__(self, batch) -> dict:
        """Learn from a batch; returns the logs of the trainer as tensors, which the next step overwrites."""
        leaves = pytree.tree_leaves(batch)
        with torch.no_grad():
            if self._graph is None:
                return self._step(*leaves)
            for place, leaf in zip(self._inputs, leaves):
                place.copy_(leaf, non_blocking=True)
            self._graph.replay()
            return self._logs

    def _recorded(self):
        graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(side):
            self._step(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad(), torch.cuda.graph(graph):
            self._logs = self._step(*self._inputs)
        return graph
