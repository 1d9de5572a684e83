"""Activations that are computed again: what a network says and learns is what it says and learns without."""

import torch
from transformers import OPTConfig, OPTForCausalLM

from medrival.regimes.recomputed import Recomputing


def test_layers_with_a_dropout_of_their_own_compute_what_they_do_without():
    """OPT's layers, as BLIP-2 has them, drop out what they hand on themselves, not by a module that can be stopped."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    module = OPTForCausalLM(OPTConfig(**size, vocab_size=100, dropout=0.5)).eval()
    tokens = torch.randint(4, 100, (2, 8))

    def learnt():
        module.zero_grad()
        loss = module(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        return [loss.detach(), *(parameter.grad.clone() for parameter in module.parameters())]

    plain, recomputing = learnt(), Recomputing(module)
    calls = []
    module.model.decoder.layers[0].fc1.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    assert recomputing.start()
    torch.testing.assert_close(learnt(), plain)
    assert len(calls) == 2
    recomputing.stop()
    assert not any(part.training for part in module.modules())
