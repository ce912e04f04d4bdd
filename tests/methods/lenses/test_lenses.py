"""Ground truth G19: tuned is nowhere worse than logit, last comes the model, of a linear tail the Jacobian is exact."""

from pathlib import Path
from typing import Any

import linear_tails
import numpy as np
import pytest
import torch
from frameworks import GPT2, Engine, Numbers, engine, engines
from frameworks import tokens as tokens_of
from linear_tails import ALONE, DIM, MIXED, POSITIONS, WEIGHTS
from small_transformers import gpt2, llama, randomised
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from words import LONG, WORDS, Words

import darklantern as dl
from darklantern.errors import MethodError
from darklantern.methods.lenses import Translators, fit_lens, lens, load_translators
from darklantern.models.opened import Model

__all__ = ["engine"]


def by_hand(module: Any, tokens: Numbers) -> list[Numbers]:
    """Log-probabilities that GPT-2 reads at each block's output, by its own modules in plain torch."""
    with torch.no_grad():
        x, found = module.transformer.wte(torch.from_numpy(tokens)), []
        x = x + module.transformer.wpe(torch.arange(tokens.shape[1]))
        for block in module.transformer.h:
            x = block(x)
            x = x[0] if isinstance(x, tuple) else x
            found.append(module.lm_head(module.transformer.ln_f(x)).log_softmax(-1).numpy())
    return found


@engines(*GPT2)
def test_the_logit_lens_is_that_of_a_forward_by_hand(engine: Engine) -> None:
    tokens = tokens_of(2, 7)
    model, true = engine.open(gpt2(), tokens), by_hand(gpt2(), tokens)
    found = lens(model, engine.array(tokens), target=[3, 4], top=2)
    own = true[-1]
    for layer, said in enumerate(true):
        np.testing.assert_allclose(found.kl[layer], (np.exp(own) * (own - said)).sum(-1), atol=1e-9)
        np.testing.assert_allclose(found.entropy[layer], -(np.exp(said) * said).sum(-1), atol=1e-9)
        order = np.argsort(-said, axis=-1)
        np.testing.assert_array_equal(found.tokens[layer], order[..., :2])
        np.testing.assert_allclose(found.probabilities[layer], np.exp(np.sort(said)[..., :-3:-1]), atol=1e-9)
        for example, token in enumerate((3, 4)):
            place = (order[example] == token).argmax(-1)
            np.testing.assert_array_equal(found.target_rank[layer, example], place + 1)
            np.testing.assert_allclose(
                found.target_probability[layer, example], np.exp(said[example, :, token]), atol=1e-9
            )
    assert found.agreement[-1] == 1
    assert np.abs(found.kl[-1]).max() < 1e-12
    assert found.tested.largest <= found.tested.allowed < 1e-6


@engines("torch", "gpt2-linen-scan", "gpt2-equinox-scan")
def test_g19_a_tuned_lens_is_nowhere_worse_than_the_logit_lens_and_last_is_the_model(engine: Engine) -> None:
    model = engine.open(gpt2(), tokens_of(4, 7))
    batches = [engine.array(tokens_of(4, 7, seed=seed)) for seed in range(10)]
    fitted = fit_lens(model, batches, steps=60, rate=3e-3)
    assert all(tuned <= plain + 1e-12 for tuned, plain in zip(fitted.fitted, fitted.plain, strict=True))
    assert fitted.fitted[0] < 0.5 * fitted.plain[0]
    assert abs(fitted.fitted[-1]) < 1e-12
    assert fitted.tokens == 2 * 4 * 7  # two of ten batches
    assert fitted.made.cost.backward == 2 * 60  # for each layer but the last
    fresh = engine.array(tokens_of(8, 7, seed=99))
    tuned, plain = lens(model, fresh, fitted), lens(model, fresh)
    assert (tuned.kl.mean((1, 2)) <= plain.kl.mean((1, 2)) + 1e-12).all()
    np.testing.assert_array_equal(tuned.tokens[-1], plain.tokens[-1])
    # The same numbers whichever framework computed them, and those of a training by hand.
    matrix, shift = fitted.translators.maps[fitted.place.sites[0]]
    true = trained_by_hand([tokens_of(4, 7, seed=seed) for seed in range(10)], 60, 3e-3)
    np.testing.assert_allclose(matrix, true[0], atol=1e-7)
    np.testing.assert_allclose(shift, true[1], atol=1e-7)


def trained_by_hand(batches: list[Numbers], steps: int, rate: float) -> tuple[Numbers, Numbers]:
    """The first layer's map, by autograd and torch's own Adam."""
    module = gpt2()
    matrix, shift = torch.zeros(32, 32, dtype=torch.float64), torch.zeros(32, dtype=torch.float64)
    parts = [each.requires_grad_() for each in (matrix, shift)]
    adam = torch.optim.Adam(parts, lr=rate)
    rounds = [torch.from_numpy(batch) for number, batch in enumerate(batches) if number % 5]
    with torch.enable_grad():
        for step in range(steps):
            output = module.transformer(rounds[step % len(rounds)], output_hidden_states=True)
            own = module.lm_head(output.last_hidden_state).log_softmax(-1).detach()
            value = output.hidden_states[1].detach()
            said = module.lm_head(module.transformer.ln_f(value + value @ matrix + shift)).log_softmax(-1)
            adam.param_groups[0]["lr"] = rate * (1 - step / steps)
            adam.zero_grad()
            (own.exp() * (own - said)).sum(-1).mean().backward()
            adam.step()
    return np.eye(32) + matrix.detach().numpy(), shift.detach().numpy()


@engines("torch", "linen")
def test_g19_of_a_linear_tail_the_jacobian_lens_is_exact(engine: Engine) -> None:
    for mixed in (ALONE, MIXED):
        batches = [tokens_of(3, POSITIONS, linear_tails.WORDS, seed=seed) for seed in range(5)]
        model = linear_tails.opened(engine, mixed, batches[0])
        fitted = fit_lens(model, [engine.array(each) for each in batches], "jacobian")
        maps = [matrix for matrix, _ in fitted.translators.maps.values()]
        share = mixed.sum() / POSITIONS  # of what a token holds, how much all later ones take of it, on average
        twice = (mixed @ mixed).sum() / POSITIONS
        one, two = WEIGHTS[1], WEIGHTS[2]
        np.testing.assert_allclose(maps[2], np.eye(DIM), atol=1e-12)
        np.testing.assert_allclose(maps[1], np.eye(DIM) + share * two, atol=1e-12)
        np.testing.assert_allclose(maps[0], np.eye(DIM) + share * (one + two) + twice * one @ two, atol=1e-12)
        assert fitted.made.cost.backward == 4 * DIM
        if mixed is ALONE:  # then what is read at any layer is what the model says
            np.testing.assert_allclose(fitted.fitted, 0, atol=1e-12)
            assert min(fitted.plain[:-1]) > 0.01
            found = lens(model, engine.array(batches[0]), fitted)
            assert np.abs(found.kl).max() < 1e-12
            assert (found.agreement == 1).all()


@engines("torch", "linen")
def test_random_directions_give_the_jacobian_on_average(engine: Engine) -> None:
    batches = [engine.array(tokens_of(2, POSITIONS, linear_tails.WORDS, seed=seed)) for seed in range(100)]
    model = linear_tails.opened(engine, MIXED, tokens_of(2, POSITIONS, linear_tails.WORDS))
    found = fit_lens(model, batches, "jacobian", probes=3, seed=2)
    whole = fit_lens(model, batches[:5], "jacobian")
    again = fit_lens(model, batches, "jacobian", probes=3, seed=2)
    site = found.place.sites[1]
    rough, exact, same = (each.translators.maps[site][0] for each in (found, whole, again))
    np.testing.assert_array_equal(rough, same)
    assert 1e-6 < np.linalg.norm(rough - exact) < 0.1 * np.linalg.norm(exact)
    assert found.turned is not None and found.turned < 1e-12
    assert found.made.cost.backward == 80 * 3


def worded(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    config = GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    return dl.open(randomised(GPT2LMHeadModel(config).double().eval()), Words())


def test_of_prompts_that_differ_in_length_padding_counts_nowhere() -> None:
    model, prompts = worded(), [LONG, "When Anna left", "Mary gave a drink"]
    found = lens(model, prompts, target="John")
    alone = [lens(model, [each], target="John") for each in prompts]
    for number, each in enumerate(alone):
        length = each.kl.shape[-1]
        np.testing.assert_allclose(found.kl[:, number, :length], each.kl[:, 0], atol=1e-10)
        np.testing.assert_array_equal(found.tokens[:, number, :length], each.tokens[:, 0])
        assert np.isnan(found.kl[:, number, length:]).all()
        assert (found.tokens[:, number, length:] == -1).all()
    assert found.prompts[1] == ("When", "Anna", "left")
    assert found.text(WORDS.index("John")) == "John" or WORDS.index("John") not in found.words
    # A Jacobian is the mean over tokens, whatever they were padded to.
    filled = [prompts] * 5
    together = fit_lens(model, filled, "jacobian").translators
    each_alone = [fit_lens(model, [[each]] * 5, "jacobian").translators for each in prompts]
    site = next(iter(together.maps))
    counts = [len(each.split()) for each in prompts]
    mean = sum(n * each.maps[site][0] for n, each in zip(counts, each_alone, strict=True)) / sum(counts)
    np.testing.assert_allclose(together.maps[site][0], mean, atol=1e-10)


def test_a_cap_behind_the_unembedding_is_not_forgotten() -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=2.0,
    )
    for module in (randomised(Gemma2ForCausalLM(config).double().eval()), llama()):
        tokens = torch.from_numpy(tokens_of(2, 6, 40))
        found = lens(dl.open(module), tokens)
        with torch.no_grad():
            hidden = module.model(tokens, output_hidden_states=True).hidden_states[1]
            logits = module.lm_head(module.model.norm(hidden))
            if isinstance(module, Gemma2ForCausalLM):
                logits = torch.tanh(logits / 2.0) * 2.0
            own = module(tokens).logits.log_softmax(-1)
        said = logits.log_softmax(-1)
        np.testing.assert_allclose(found.kl[0], (own.exp() * (own - said)).sum(-1).numpy(), atol=1e-9)
        assert np.abs(found.kl[-1]).max() < 1e-10


def test_translators_are_the_same_after_saving(tmp_path: Path) -> None:
    model = dl.open(gpt2().float())
    batches = [torch.from_numpy(tokens_of(2, 7, seed=seed)) for seed in range(5)]
    fitted = fit_lens(model, iter(batches), steps=4)
    fitted.translators.save(tmp_path / "tuned.safetensors")
    loaded = load_translators(tmp_path / "tuned.safetensors")
    assert loaded.how == "tuned"
    one, two = (lens(model, batches[0], each) for each in (fitted, loaded))
    np.testing.assert_array_equal(one.kl, two.kl)
    with pytest.raises(MethodError, match="cannot be read"):
        (tmp_path / "other.safetensors").write_bytes(b"no such file")
        load_translators(tmp_path / "other.safetensors")
    with pytest.raises(MethodError, match="cannot be read"):
        load_translators(tmp_path / "nowhere")
    with pytest.raises(MethodError, match="is there already"):
        fitted.translators.save(tmp_path / "tuned.safetensors")


def test_pictures_tables_and_evidence(tmp_path: Path) -> None:
    model = worded()
    found = lens(model, [LONG, "When Anna left"], target="John")
    for by in ("probability", "kl", "entropy", "target"):
        found.show(by=by).png(tmp_path / f"{by}.png")
    shown = str(found.show(1).svg)
    assert "Anna" in shown and found.text(int(found.tokens[0, 1, 0, 0])) in shown
    with pytest.raises(MethodError, match="cannot colour"):
        found.show(by="size")
    with pytest.raises(MethodError, match="example 2 of 2"):
        found.show(2)
    evidence = found.evidence()
    assert evidence.grids[0].columns == ("KL", "entropy", "agreement", "target probability", "target rank")
    assert evidence.sites == ("layers.0:out", "layers.1:out")
    assert evidence.figures[-1].name == "self-test: largest difference of logits"
    fitted = fit_lens(model, [["When Anna left"], ["Mary gave"]] * 5, steps=8)
    fitted.show().png(tmp_path / "fitted.png")
    assert fitted.evidence().grids[0].rows == ("logit", "tuned")
    assert fitted.evidence().provenance.data != evidence.provenance.data


def test_what_a_lens_cannot_show_is_refused_by_name() -> None:
    model, tokens = dl.open(gpt2()), torch.from_numpy(tokens_of(2, 7))
    batches = [tokens] * 5
    with pytest.raises(MethodError, match=r"layers.2:out, put in at layers.2:in, gives other logits"):
        lens(model, tokens, entrance="layers.2:in")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("expected a lens, got 'logits'", {"how": "logits"}),
        ("has to be fitted", {"how": "tuned"}),
        ("needs no fit", {"fit": batches}),
        ("is a part of a value", {"sites": "layers.*:out[pos=-1]"}),
        ("expected sites to read", {"sites": []}),
        ("a lens reads values of the residual stream", {"sites": "layers.0.mlp:post"}),
        ("stands for 3 sites", {"entrance": "layers.*:in"}),
        ("top is how many", {"top": 0}),
        ("3 targets for 2", {"target": [1, 2, 3]}),
        ("without a tokenizer", {"target": "John"}),
    ]
    for match, options in cases:
        with pytest.raises(MethodError, match=match):
            lens(model, tokens, **options)
    with pytest.raises(MethodError, match="neither a last norm nor an unembedding"):
        lens(dl.open(torch.nn.Sequential(torch.nn.Linear(3, 3))), torch.zeros(1, 3), sites="**:out")
    fits: list[tuple[str, Any, dict[str, Any]]] = [
        ("is tuned or jacobian, got 'logit'", batches, {"how": "logit"}),
        ("none is left to fit on", batches[:1], {"how": "jacobian"}),
        ("none is left to fit on", tokens, {}),
        ("must be above 0", batches, {"steps": 0}),
        ("must be above 0", batches, {"how": "jacobian", "probes": 0}),
        ("expected inputs, got none", iter(batches), {"steps": 9}),
        ("the lens's KL became", batches, {"rate": 1e200, "steps": 5}),
    ]
    for match, given, options in fits:
        with pytest.raises(MethodError, match=match):
            fit_lens(model, given, **options)
    maps = {model.plan("layers.0:out").sites[0]: (np.eye(32), np.zeros(32))}
    with pytest.raises(MethodError, match=r"nothing was fitted for layers.1:out"):
        lens(model, tokens, Translators("tuned", maps), sites="layers.*:out")
    small = Translators("tuned", {site: (np.eye(3), np.zeros(3)) for site in maps})
    with pytest.raises(MethodError, match="fitted on 3"):
        lens(model, tokens, small)


def test_parallel_blocks_projections_and_decoders_are_read_through_their_own_code() -> None:
    small = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = torch.from_numpy(tokens_of(2, 6, 40))
    parallel = GPTNeoXForCausalLM(GPTNeoXConfig(**small, intermediate_size=32, use_parallel_residual=True))
    torch.manual_seed(0)
    narrow = OPTForCausalLM(OPTConfig(**small, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False))
    decoder = T5ForConditionalGeneration(
        T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    )
    both = {"input_ids": tokens, "decoder_input_ids": tokens}
    cases: list[tuple[Any, Any, str, str | None, str]] = [
        (parallel, tokens, "layers.*:out", None, ""),
        (narrow, tokens, "layers.*:out", "model.decoder.project_out:in", "as wide as what the last norm takes"),
        (decoder, both, "decoder.layers.*:out", "decoder.final_layer_norm:in", "something stands between"),
    ]
    for module, inputs, sites, entrance, otherwise in cases:
        model = dl.open(randomised(module.double().eval()))
        found = lens(model, inputs, sites=sites, entrance=entrance)
        assert np.abs(found.kl[-1]).max() < 1e-12 < np.abs(found.kl[0]).max()
        fitted = fit_lens(model, [inputs] * 3, sites=sites, entrance=entrance, steps=2)
        assert lens(model, inputs, fitted).sites == found.sites  # with the entrance that it was fitted for
        if otherwise:
            with pytest.raises(MethodError) as caught:
                lens(model, inputs, sites=sites)
            assert otherwise in caught.value.hint


@engines("torch", "gpt2-linen-scan")
def test_edits_that_stand_in_the_model_are_seen_through(engine: Engine) -> None:
    tokens = tokens_of(2, 7)
    model, inputs = engine.open(gpt2(), tokens), engine.array(tokens)
    edited = model.edited({"layers.0:out": dl.scale(0.5), "layers.2:out": dl.scale(2.0)})
    found, plain = lens(edited, inputs), lens(model, inputs)
    assert np.abs(found.kl[-1]).max() < 1e-12
    assert np.abs(found.kl[1] - plain.kl[1]).max() > 1e-3
    assert "under layers.0:out: scale(0.5)" in found.evidence().summary
    # A norm does not mind a scale, up to its epsilon: what is read right behind the edit is what was read before.
    np.testing.assert_array_equal(found.tokens[0], plain.tokens[0])


@engines("torch", "llama-linen", "llama-equinox-scan")
def test_a_lens_fitted_on_the_way_is_the_one_fitted_before_with_grouped_heads_and_gates_too(engine: Engine) -> None:
    def given(seed: int) -> dict[str, Any]:
        tokens = tokens_of(2, 7, seed=seed)
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}

    model = engine.open(llama(), given(0))
    inputs, *batches = [{name: engine.array(each) for name, each in given(seed).items()} for seed in range(4)]
    before = lens(model, inputs, fit_lens(model, batches, "jacobian", probes=8, seed=3), target=4)
    on_the_way = lens(model, inputs, "jacobian", fit=batches, target=4, seed=3)
    assert before.how == on_the_way.how == "jacobian"
    assert np.abs(before.kl[-1]).max() < 1e-6  # Llama's twins take their norms in float32
    exact = lens(model, inputs, fit_lens(model, batches, "jacobian"), target=4)
    np.testing.assert_allclose(on_the_way.kl, exact.kl, atol=1e-9)
    assert np.abs(before.kl - exact.kl).max() > 1e-6
    assert on_the_way.made.seed == 3
