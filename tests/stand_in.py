"""What a CUDA graph does, on a CPU: operations recorded once and repeated blindly."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Ask the device for a number, or take one from the host: no graph holds them.
_NEEDS_THE_HOST = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::is_nonzero",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::lift_fresh",
    "aten::lift_fresh_copy",
}
# Written to, though their schema does not say so.
_WRITES = {"aten::native_batch_norm": (3, 4)}


def _tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _where(tensor):
    return tensor.untyped_storage().data_ptr()


class RecordedGraph(TorchDispatchMode):
    """Stands in for `engine.graph.CudaGraph`: work is recorded, not done, and replayed.

    Python runs once, at the recording. A replay repeats its operations on the same
    memory: whatever a step decides in Python, reads from a tensor or keeps outside of
    one stays what it was then, as in a CUDA graph.
    """

    def __init__(self, work, generator, beside=None):
        super().__init__()
        self.calls, self.before, self.made = [], {}, set()
        states = generator.get_state(), torch.get_rng_state()
        try:
            with self:
                work()
        finally:
            with torch.no_grad():
                for tensor, value in self.before.values():
                    tensor.copy_(value)
            generator.set_state(states[0])
            torch.set_rng_state(states[1])

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        if name in _NEEDS_THE_HOST:
            raise RuntimeError(f"{name} cannot be captured")
        written = self._written(func, args, kwargs)
        for tensor in written:
            self._keep(tensor)
        out = func(*args, **kwargs)
        given = {_where(tensor) for tensor in _tensors((args, kwargs))}
        self.made |= {_where(tensor) for tensor in _tensors(out)} - given
        is_view = not written and any(r.alias_info for r in func._schema.returns)
        if not is_view:
            self.calls.append((func, args, kwargs, out, bool(written)))
        return out

    def _written(self, func, args, kwargs):
        found = [
            args[i] if i < len(args) else kwargs.get(a.name)
            for i, a in enumerate(func._schema.arguments)
            if a.alias_info is not None and a.alias_info.is_write
        ]
        found += [args[i] for i in _WRITES.get(func._schema.name, ())]
        return _tensors(found)

    def _keep(self, tensor):
        """Remember what was there before, unless the work itself has made it."""
        where = _where(tensor)
        if where not in self.made:
            key = where, tensor.storage_offset(), tensor.shape
            self.before.setdefault(key, (tensor.detach(), tensor.detach().clone()))

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out, in_place in self.calls:
            new = func(*args, **kwargs)
            if in_place and func._schema.name not in _WRITES:
                continue
            for there, value in zip(_tensors(out), _tensors(new), strict=True):
                there.copy_(value)
