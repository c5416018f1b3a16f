"""Models of images: published sizes, reference implementations, batch norm in both worlds, twins of convolutions."""

import functools
import itertools
import math
import re

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.models import convolutions
from deepboot.bootstrap.models.dconv import Local
from deepboot.bootstrap.models.densenet import beside
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.models.vit import patches
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Image, Vector
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import BACKENDS, Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.runners.run import checkpoints
from tests.bootstrap.conftest import parity
from tests.bootstrap.models.references import PlainAlexNet, PlainCNN, PlainDenseNet, PlainMLP, PlainResNet, PlainVGG
from tests.bootstrap.models.test_models import KEY, Given, built, examples, named

CIFAR, SMALL = Image(3, 32, 32), Image(3, 8, 8)
TINY = {
    "alexnet": {"width": 2, "batch_norm": True},
    "cnn": {"width": 3},
    "dconv": {"width": 2},
    "densenet": {"depth": 10, "growth": 3},
    "resnet": {"width": 3, "stages": 3, "blocks": 1},
    "vgg": {"width": 3},
    "vit": {"width": 8, "heads": 2, "layers": 2},
    "mlp": {"width": 8, "depth": 2, "batch_norm": True},
}
OF_IMAGES = sorted(set(TINY) - {"mlp"})
NORMED = sorted(set(TINY) - {"vit"})


def affine(fan_in, out):
    return fan_in * out + out


@pytest.mark.parametrize(
    ("model", "settings", "size"),
    [
        ("resnet", {}, 11_172_170),
        ("vgg", {}, 9_228_362),
        ("vgg", {"depth": 16}, 14_724_042),
        ("alexnet", {}, 2_472_266),
        ("densenet", {"depth": 100, "bottleneck": True}, 769_162),
        ("cnn", {}, 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * (64 + 128 + 256 + 512) + affine(512, 10)),
        ("mlp", {"width": 2048, "depth": 3, "batch_norm": True},
         affine(3_072, 2048) + 2 * affine(2048, 2048) + 6 * 2048 + affine(2048, 10)),
    ],
)  # fmt: skip
def test_networks_for_cifar_have_the_published_number_of_parameters(model, settings, size):
    """ResNet-18, VGG-11 and 16, AlexNet and DenseNet-BC as counted by the repositories that train them on CIFAR."""
    assert Stack(model, settings, Given(inputs=CIFAR, classes=10)).size == size


@pytest.mark.parametrize(("growth", "millions"), [(12, 1.0), (32, 7.4)])
def test_densenet_40_has_about_the_published_number_of_parameters(growth, millions):
    """1.0 million at growth 12 (Huang et al., Table 2) and about 7 at 32."""
    assert Stack("densenet", {"growth": growth}, Given(inputs=CIFAR, classes=10)).size / 1e6 == pytest.approx(
        millions, abs=0.06
    )


@pytest.mark.parametrize(("patch", "width", "heads", "layers"), [(4, 384, 6, 12), (8, 768, 12, 12)])
def test_the_vision_transformer_has_as_many_parameters_as_torchvisions(patch, width, heads, layers):
    """ViT-S with patches of 4, ViT-B with patches of 8, for CIFAR."""
    with torch.device("meta"):
        theirs = torchvision.models.VisionTransformer(32, patch, layers, heads, width, 4 * width, num_classes=10)
    own = Stack("vit", {"patch": patch, "width": width, "heads": heads}, Given(inputs=CIFAR, classes=10))
    assert own.size == sum(parameter.numel() for parameter in theirs.parameters())


def test_the_twins_of_dconv_have_more_parameters_by_their_number_of_places():
    """One kernel for all places, one for each, and all pairs of units."""
    units, alpha = [3 * 32**2], 4
    kernels = places = every = 0
    fan_in, side = 3, 32
    for factor, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2)):
        out, side = factor * alpha, side // stride
        units.append(out * side**2)
        kernels += 9 * fan_in * out + 2 * out
        places += (9 * fan_in * out + 2 * out) * side**2
        every += units[-2] * units[-1] + 2 * units[-1]
        fan_in = out
    rest = units[-1] * 64 * alpha + 2 * 64 * alpha + affine(64 * alpha, 10)
    for sharing, size in (("convolution", kernels), ("local", places), ("full", every)):
        stack = Stack("dconv", {"sharing": sharing, "width": alpha}, Given(inputs=CIFAR, classes=10))
        assert stack.size == size + rest


def in_order(module):
    """Parameters and running statistics layer by layer: of maps, then of norms, as they were declared."""
    found = [*module.parameters()]
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)]
    return found, [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]


REFERENCES = [
    ("cnn", {"width": 3}, lambda: PlainCNN(3), SMALL),
    ("resnet", {"width": 3, "stages": 3, "blocks": 1}, lambda: PlainResNet(3), SMALL),
    ("densenet", {"depth": 10, "growth": 3}, lambda: PlainDenseNet(3), SMALL),
    ("densenet", {"depth": 16, "growth": 2, "bottleneck": True}, lambda: PlainDenseNet(2, True), SMALL),
    ("vgg", {"width": 2}, lambda: PlainVGG(2), CIFAR),
    ("alexnet", {"width": 2}, lambda: PlainAlexNet(2), CIFAR),
]


@pytest.mark.parametrize(("model", "settings", "plain", "image"), REFERENCES)
def test_every_member_is_an_ordinary_network_of_torch(model, settings, plain, image):
    """Logits and gradients of two batches in training, running statistics, logits in evaluation: float64, to 1e-9."""
    compare_with_torch(model, settings, plain, image, lambda stack: stack.names)


def test_every_member_of_an_mlp_with_batch_norm_is_that_of_torch():
    """As above; the norms stand behind their affine maps."""
    order = ["hidden.0", "norms.0", "hidden.1", "norms.1", "output"]
    names = [f"{name}.{kind}" for name in order for kind in ("weight", "bias")]
    compare_with_torch("mlp", TINY["mlp"], lambda: PlainMLP(8), SMALL, lambda stack: names)


def compare_with_torch(model, settings, plain, image, names_of):
    bound, param_EP = built(model, image, streams.keys([0, 1], "init"), dtype=torch.float64, **settings)
    moved = streams.normal(streams.keys([0, 1], "data"), torch.ones(2, 1, dtype=torch.int64), bound.stack.size)[:, 0]
    param_EP.add_(0.1 * moved)  # norms that do something
    buffers = bound.buffers
    names = names_of(bound.stack)
    references = [plain().double() for _ in range(2)]
    for e, reference in enumerate(references):
        for name, parameter in zip(names, in_order(reference)[0], strict=True):
            parameter.data.copy_(named(bound)[name][e].view(parameter.shape))

    def loss(logits):
        return logits.sin().sum(-1), logits

    for batch in range(2):
        x = examples(image, members=2, batch=6).double() * (1 + batch)
        grad_EP, logits = bound.gradient(x, loss)
        gradients = dict(zip(bound.stack.names, grad_EP.split(bound.stack.sizes, 1), strict=True))
        for e, reference in enumerate(references):
            expected = reference(x[e])
            torch.testing.assert_close(logits[e], expected, rtol=1e-9, atol=1e-9)
            parameters, statistics = in_order(reference)
            grads = torch.autograd.grad(expected.sin().sum(-1).mean(), parameters)
            for name, grad in zip(names, grads, strict=True):
                torch.testing.assert_close(gradients[name][e], grad.flatten(), rtol=1e-8, atol=1e-9)
            own = sorted(buffers, key=lambda name: names.index(name.rpartition(".")[0] + ".weight"))
            for name, statistic in zip(own, statistics, strict=True):
                torch.testing.assert_close(buffers[name][e], statistic, rtol=1e-9, atol=1e-9)
    bound.module.eval()
    x = examples(image, members=2, batch=3).double() - 0.3
    for e, reference in enumerate(references):
        torch.testing.assert_close(bound(x)[e], reference.eval()(x[e]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("patch", [4, 8])
def test_every_member_of_a_vision_transformer_is_torchvisions(patch):
    """Two members with torchvision's own forward pass, float64, to 1e-9; its class token stands before the patches."""
    image, width = Image(3, 16, 16), 8
    settings = {"patch": patch, "width": width, "heads": 2, "layers": 2}
    bound, _ = built("vit", image, streams.keys([0, 1], "init"), dtype=torch.float64, **settings)
    x, found = examples(image, members=2).double(), named(bound)
    logits = bound(x)
    for e in range(2):
        own = {name: value[e] for name, value in found.items()}
        theirs = torchvision.models.VisionTransformer(
            16, patch, 2, 2, width, 4 * width, num_classes=7, norm_layer=nn.LayerNorm
        ).double()
        state = {
            "class_token": own["token"][None],
            "conv_proj.weight": own["embedding.weight"].view(width, 3, patch, patch),
            "conv_proj.bias": own["embedding.bias"][0],
            "encoder.pos_embedding": own["position"].roll(1, 0)[None],
            "encoder.ln.weight": own["norm.weight"][0],
            "encoder.ln.bias": own["norm.bias"][0],
            "heads.head.weight": own["output.weight"],
            "heads.head.bias": own["output.bias"][0],
        }
        for place in range(2):
            block, layer = f"blocks.{place}", f"encoder.layers.encoder_layer_{place}"
            for kind in ("weight", "bias"):
                for mine, other in (("norms.0", "ln_1"), ("norms.1", "ln_2"), ("mix", "self_attention.out_proj"),
                                    ("up", "mlp.0"), ("down", "mlp.3")):  # fmt: skip
                    value = own[f"{block}.{mine}.{kind}"]
                    state[f"{layer}.{other}.{kind}"] = value[0] if len(value) == 1 else value
                query, rest = own[f"{block}.query.{kind}"], own[f"{block}.key_value.{kind}"]
                whole = torch.cat((query, rest), 0 if kind == "weight" else 1)
                state[f"{layer}.self_attention.in_proj_{kind}"] = whole if kind == "weight" else whole[0]
        theirs.load_state_dict(state)
        torch.testing.assert_close(logits[e], theirs(x[e]), rtol=1e-9, atol=1e-9)


def test_the_class_is_read_from_a_token_or_from_the_mean_of_all_patches():
    """By mean there is no token; every patch reaches the logits either way, and their order matters."""
    for pooling in ("token", "mean"):
        bound, _ = built("vit", SMALL, width=8, heads=2, layers=1, pooling=pooling)
        assert ("token" in bound.stack.names) == (pooling == "token")
        x = examples(SMALL)
        changed, turned = x.clone(), x.roll(4, -1)
        changed[..., -1, -1] += 1
        for other in (changed, turned):
            assert (bound(other) != bound(x)).any(-1).all()


def test_patches_are_cut_row_by_row_with_channels_first():
    """As torch.nn.functional.unfold cuts them."""
    x = examples(Image(3, 4, 8), members=2)
    expected = functional.unfold(x.flatten(0, 1), 4, stride=4).mT.unflatten(0, (2, -1))
    assert torch.equal(patches(x, 4), expected)


@pytest.mark.parametrize("model", OF_IMAGES)
@pytest.mark.parametrize("image", [Image(1, 1, 1), Image(2, 3, 5), Image(3, 16, 16), Image(3, 40, 40)])
def test_images_of_any_size_are_read(model, image):
    """Small ones are halved while they have two pixels; what is left of large ones is pooled."""
    settings = {**TINY[model], **({"patch": 1 if image.height < 16 else 8} if model == "vit" else {})}
    bound, _ = built(model, image, **settings)
    x = examples(image)
    grad_EP, logits = bound.gradient(x, lambda logits: (logits.sin().sum(-1), logits))
    assert logits.shape == (3, 4, 7)
    assert grad_EP.isfinite().all()
    assert logits.isfinite().all()


def test_channels_are_put_beside_those_of_their_own_member():
    """Two members of two old channels and one new one each."""
    old, new = torch.tensor([[1.0, 2, 10, 20]]).view(1, 4, 1, 1), torch.tensor([[3.0, 30]]).view(1, 2, 1, 1)
    assert beside(old, new, 2).flatten().tolist() == [1, 2, 3, 10, 20, 30]


def test_images_lie_side_by_side_and_come_apart_again():
    """(E, B, C, H, W) to (B, E * C, H, W), and its features back to (E, B, C * H * W)."""
    x = examples(Image(2, 3, 5))
    flat = convolutions.as_channels(x)
    assert torch.equal(flat[:, 2:4], x[1])
    assert torch.equal(convolutions.per_member(flat.flatten(1), 3), x.flatten(2))


@pytest.mark.parametrize("members", [1, 3])
def test_images_are_stored_pixel_by_pixel_on_a_cpu(members):
    """As channels of one batch, through convolution, norm and pooling, and beside each other."""
    h = convolutions.as_channels(examples(Image(3, 6, 6), members=members))
    layer = convolutions.Conv2d(3, 8)
    layer.weight = nn.Parameter(torch.ones(members, 8, 3, 3, 3))
    norm = convolutions.BatchNorm(8)
    for name in ("weight", "bias", "mean", "variance"):
        setattr(norm, name, type(getattr(norm, name))(torch.ones(members, 8)))
    for each in (h, out := norm(layer(h)), convolutions.halved(out), beside(out, out, members)):
        assert each.is_contiguous(memory_format=torch.channels_last)
        assert not each.is_contiguous()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_are_stored_pixel_by_pixel_are_not_moved(channels, members):
    """Of ``training.channels_last``: the same images, and beside each other a view of the same memory."""
    x = examples(Image(channels, 6, 5), members=members)
    stored = convolutions.pixel_by_pixel(x)
    assert torch.equal(stored, x)
    h = convolutions.as_channels(stored)
    assert h.data_ptr() == stored.data_ptr()
    assert torch.equal(h, convolutions.as_channels(x))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("members", [1, 3])
def test_a_gpus_images_stay_as_they_are_stored(members, channels_last):
    """Stacked or alone, through convolution, norm and pooling, whose weights do not decide it."""
    with FakeTensorMode():
        x = torch.empty(members, 4, 3, 6, 6, device="cuda")
        h = convolutions.as_channels(convolutions.pixel_by_pixel(x) if channels_last else x)
        layer, norm = convolutions.Conv2d(3, 8), convolutions.BatchNorm(8)
        layer._parameters["weight"] = torch.empty(members, 8, 3, 3, 3, device="cuda")
        norm._parameters.update({name: torch.empty(members, 8, device="cuda") for name in ("weight", "bias")})
        norm._buffers.update({name: torch.empty(members, 8, device="cuda") for name in ("mean", "variance")})
        for each in (h, out := norm(layer(h)), convolutions.halved(out)):
            assert each.is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.parametrize("image", [(), (1, 1), (5, 5)])
@pytest.mark.parametrize("members", [2, 3, 6])
@pytest.mark.parametrize("channels", [3, 4, 10, 16])
def test_equal_members_are_normalised_and_pooled_equally_wherever_they_lie(channels, members, image):
    """Outputs, statistics and all gradients of one member, repeated, bit for bit; torch's own are not."""
    values = streams.normal(streams.keys([0, 1], "data"), torch.arange(33)[None], channels * math.prod(image))
    x, gradient = (each.view(33, channels, *image).repeat(1, members, *[1] * len(image)) for each in values)
    if image:
        x, gradient = (each.contiguous(memory_format=torch.channels_last) for each in (x, gradient))
    norm = convolutions.BatchNorm(channels)
    for name, value in (("weight", 0.7), ("bias", 0.3)):
        setattr(norm, name, nn.Parameter(torch.full((members, channels), value)))
    norm.mean, norm.variance = torch.zeros(members, channels), torch.ones(members, channels)
    x.requires_grad_()
    out = norm(x)
    stored = torch.empty_like(out).copy_(gradient)  # as the next layer's is
    found = [out, *torch.autograd.grad(out, [x, norm.weight, norm.bias], stored, retain_graph=True)]
    found += [norm.mean, norm.variance, *([convolutions.mean_over_pixels(x)] if image else [])]
    for each in found:
        own = each if len(each) == members else each.unflatten(1, (members, -1)).transpose(0, 1)
        assert all(torch.equal(own[0], other) for other in own[1:])
    expected = nn.functional.batch_norm(
        x.double(), None, None, norm.weight.flatten().double(), norm.bias.flatten().double(), training=True
    )
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (8, 8), (5, 6)])
def test_a_strided_convolution_of_one_pixel_is_that_of_torch(size, members):
    """Outputs and gradients, against float64 with a stride; with one torch writes beyond its memory."""
    layer = convolutions.Conv2d(3, 6, 1, stride=2)
    weight = streams.normal(streams.keys(list(range(members)), "init"), torch.arange(6)[None], 3)
    layer.weight = nn.Parameter(weight[..., None, None])
    x = convolutions.as_channels(examples(Image(3, *size), members=members)).requires_grad_()
    wide = x.detach().double().requires_grad_()
    weight = layer.weight.detach().double().flatten(0, 1).requires_grad_()
    out, expected = layer(x), functional.conv2d(wide, weight, stride=2, groups=members)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(out.sin().sum(), [x, layer.weight])
    wanted = torch.autograd.grad(expected.sin().sum(), [wide, weight])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double().view_as(other), other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 4), (5, 6)])
def test_a_strided_convolution_of_few_pixels_has_the_right_gradient(size, dtype):
    """Two members against float64, also where the stride is longer than the image."""
    layer = convolutions.Conv2d(16, 16, stride=2)
    weight = streams.normal(streams.keys([0, 1], "init"), torch.arange(16)[None], 144).view(2, 16, 16, 3, 3)
    x = streams.normal(streams.keys([0], "data"), torch.arange(4)[None], 32 * math.prod(size)).view(4, 32, *size)
    layer.weight = nn.Parameter(weight.to(dtype))
    out = layer(x.to(dtype))
    (found,) = torch.autograd.grad(out.sum(), layer.weight)
    for e in range(2):
        own, seen = layer.weight[e].detach().double().requires_grad_(), x[:, 16 * e : 16 * e + 16].to(dtype).double()
        expected = functional.conv2d(seen, own, stride=2, padding=1)
        (wanted,) = torch.autograd.grad(expected.sum(), own)
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(out[:, 16 * e : 16 * e + 16].double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(found[e].double(), wanted, rtol=tolerance, atol=tolerance)


def tied(stack, twin, image, *, sharing):
    """Parameters and statistics of a network without convolutions that computes what one with them does."""
    own, height, width = dict(stack), image.height, image.width
    parameters = {}
    for place, stride in enumerate((1, 2) * 4):
        weight = own[f"layers.{place}.map.weight"]  # (E, O, C, 3, 3)
        members, out, fan_in = weight.shape[:3]
        pixels = torch.eye(fan_in * height * width, dtype=weight.dtype).view(-1, fan_in, height, width)
        columns = [functional.conv2d(pixels, kernel, stride=stride, padding=1) for kernel in weight]
        places = columns[0].shape[-2:].numel()
        if sharing == "full":
            parameters[f"layers.{place}.map.linear.weight"] = torch.stack([each.flatten(1).T for each in columns])
        else:
            parameters[f"layers.{place}.map.weight"] = weight.flatten(2)[:, None].expand(-1, places, -1, -1)
        for kind in ("weight", "bias", "mean", "variance"):
            name = f"layers.{place}.norm.{kind}"
            parameters[name] = own[name][..., None].expand(members, out, places).flatten(1)
        height, width = columns[0].shape[-2:]
    parameters |= {name: value for name, value in own.items() if not name.startswith("layers.")}
    return {name: parameters[name] for name in twin}


@pytest.mark.parametrize("sharing", ["local", "full"])
@pytest.mark.parametrize("image", [Image(2, 8, 8), Image(1, 5, 6)])
def test_a_twin_with_repeated_weights_computes_what_the_convolutions_do(sharing, image):
    """With weights copied to every place, or to a sparse matrix, in evaluation and in float64, to 1e-10."""
    key_E2 = streams.keys([0, 1], "init")
    bound, _ = built("dconv", image, key_E2, dtype=torch.float64, width=2)
    for _ in range(3):
        bound(examples(image, members=2).double())  # running statistics of its own
    twin, twin_EP = built("dconv", image, key_E2, dtype=torch.float64, width=2, sharing=sharing)
    own_buffers = twin.buffers
    found = tied((named(bound) | bound.buffers).items(), [*twin.stack.names, *own_buffers], image, sharing=sharing)
    twin_EP.copy_(torch.cat([found[name].flatten(1) for name in twin.stack.names], 1))
    for name, buffer in own_buffers.items():
        buffer.copy_(found[name])
    bound.module.eval()
    twin.module.eval()
    x = examples(image, members=2, batch=5).double()
    assert bound(x).abs().max() > 1e-3
    torch.testing.assert_close(twin(x), bound(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sharing", ["convolution", "local", "full"])
def test_what_one_pixel_reaches_in_the_first_layer(sharing):
    """Nine places by a convolution or its local twin, all by the full one."""
    bound, _ = built("dconv", SMALL, width=1, sharing=sharing)
    first = bound.module.layers[0].map
    x = convolutions.as_channels(examples(SMALL))
    changed = x.clone()
    changed[..., 4, 4] += 1
    reached = (first(changed) - first(x)).abs().view(4, 3, 8, 8) > 1e-6
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[3:6, 3:6] = True
    assert torch.equal(reached, (expected if sharing != "full" else torch.ones_like(expected)).expand(4, 3, 8, 8))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_local_layer_has_a_kernel_of_its_own_at_every_place(stride):
    """What stands at a place is what the convolution with that place's kernel has there."""
    image, out = Image(2, 5, 4), Image(3, -(-5 // stride), 4 // stride)
    layer = Local(image, out, stride, "torch")
    layer.weight = nn.Parameter(
        streams.normal(KEY, torch.arange(out.height * out.width)[None], 54).unflatten(2, (3, 18))
    )
    x = examples(image)
    found = layer(convolutions.as_channels(x)).view(4, 3, 3, -1)  # batch, members, channels, places
    for e, place in itertools.product(range(3), range(out.height * out.width)):
        kernel = layer.weight[e, place].view(3, 2, 3, 3)
        expected = functional.conv2d(x[e], kernel, stride=stride, padding=1).flatten(2)[..., place]
        torch.testing.assert_close(found[:, e, :, place], expected)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A file of 120 random images of 8 x 8 pixels in four classes."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    values = np.random.default_rng(0)
    np.savez(path, x=values.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8), y=np.arange(120) % 4)
    return {"name": "recording", "path": str(path)}


def study(recording, name, **changes):
    """Both worlds of a model on these images; the pool of 12 is used up after three batches."""
    settings = {
        "task": recording, "model": {"name": name, **TINY[name]}, "optimizer": {"name": "sgd", "lr": 0.05},
        "data": {}, "training__train_size": 12, "training__batch_size": 4, "training__max_steps": 6,
    }  # fmt: skip
    return runs_of(parity(**{**settings, **changes}))


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


EXECUTIONS = [
    pytest.param(False, {}, id="stacked"),
    pytest.param(True, {}, id="sequential"),
    pytest.param(True, {"training__channels_last": True, "training__precision": "bf16"}, id="channels_last"),
    pytest.param(False, {"training__precision": "bf16"}, id="bf16"),
    pytest.param(False, {"training__channels_last": True}, id="stacked_channels_last"),
]


@pytest.mark.parametrize(("sequential", "settings"), EXECUTIONS)
@pytest.mark.parametrize("model", [*sorted(TINY), "local", "full"])
def test_the_worlds_are_identical_until_the_first_reuse(model, sequential, settings, recording):
    """Weights, running statistics and online metrics, bit for bit at steps 0 to 3; different after the fourth."""
    if model in ("local", "full"):
        model, settings = "dconv", {**settings, "model__sharing": model}
    runs = study(recording, model, training__seeds=2, **settings)
    pack = Pack(runs, Execution(sequential=sequential))
    assert [run.world["rule"] for run in runs] == ["real", "real", "ideal", "ideal"]
    for step in range(5):
        train_steps(pack, step)
        states = pack.states()
        assert any(name.startswith("buffers.") for name in states[0]) == (model in NORMED)
        for seed in range(2):
            assert same(states[seed], states[seed + 2]) == (step <= 3), step
        assert not same(states[0], states[1])
        rows = Evaluator(pack).rows()
        assert (rows[0]["test_loss"] == rows[2]["test_loss"]) == (step <= 3)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", sorted(TINY))
def test_the_worlds_are_identical_until_the_first_reuse_on_a_gpu(model, backend, recording):
    """Bit for bit after three steps, with enough width for the device's own kernels."""
    wide = {"width": 64} if "width" in TINY[model] else {"growth": 32}
    runs = study(
        recording, model, model={"name": model, **TINY[model], **wide}, data={"test_fraction": 0.1},
        training__train_size=36, training__batch_size=12, training__seeds=2,
    )  # fmt: skip
    for sequential in (False, True):
        pack = Pack(runs, Execution(device="cuda", backend=backend, sequential=sequential))
        train_steps(pack, 3)
        states = pack.states()
        assert all(same(states[seed], states[seed + 2]) for seed in range(2))
        train_steps(pack, 4)
        assert not same(pack.states()[0], pack.states()[2])


@pytest.mark.gpu
@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("model", sorted(TINY))
def test_every_backend_trains_alike_on_a_gpu(model, backend, recording):
    """Weights and running statistics are those of the eager backend, in float64, to rounding."""
    runs = study(recording, model, training__dtype="float64")
    for one, other in zip(
        train(runs, Execution(device="cuda")), train(runs, Execution(device="cuda", backend=backend)), strict=True
    ):
        for name in one.state:
            torch.testing.assert_close(one.state[name], other.state[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("model", sorted(TINY))
def test_members_stepped_one_after_another_are_those_stepped_at_once(model, recording):
    """Weights and running statistics of both worlds agree to rounding, in float64."""
    runs = study(recording, model, training__dtype="float64")
    for one, other in zip(train(runs), train(runs, Execution(sequential=True)), strict=True):
        for name in one.state:
            torch.testing.assert_close(one.state[name], other.state[name], rtol=1e-8, atol=1e-8)
            assert one.state[name].dtype == (torch.int64 if name == "step" else torch.float64)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("model", NORMED)
def test_training_goes_on_from_a_state_on_disk_as_if_it_had_not_stopped(model, sequential, recording, tmp_path):
    """Six steps, or three, a state, and three more: the same bits, running statistics included."""
    runs = study(recording, model)
    whole, resume_from = (Pack(runs, Execution(sequential=sequential)) for _ in range(2))
    train_steps(whole, 6)
    train_steps(resume_from, 3)
    for run, state in zip(runs, resume_from.states(), strict=True):
        checkpoints.write_state(tmp_path, run.run_id, state)
    states = [checkpoints.read_state(tmp_path, run.run_id) for run in runs]
    resumed = Pack(runs, Execution(sequential=sequential), states)
    train_steps(resumed, 6)
    for one, other, early in zip(whole.states(), resumed.states(), resume_from.states(), strict=True):
        assert same(one, other)
        changed = [name for name in one if name.startswith("buffers.")]
        assert changed
        assert not any(torch.equal(one[name], early[name]) for name in changed)


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=[] if model == "cnn" else pytest.mark.slow) for model in sorted(TINY)]
)
def test_the_graph_that_is_compiled_gives_weights_and_statistics_of_the_eager_steps(model, recording, monkeypatch):
    """Traced as one function of the flat parameters and buffers, in float64, the step is the same to rounding."""
    runs = study(recording, model, training__dtype="float64", training__max_steps=3)
    eager = train(runs)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    for one, other in zip(eager, train(runs, Execution(backend="compiled")), strict=True):
        assert any(name.startswith("buffers.") for name in one.state) == (model in NORMED)
        for name in one.state:
            torch.testing.assert_close(one.state[name], other.state[name], rtol=1e-7, atol=1e-8)
        assert one.rows[-1]["test_loss"] == pytest.approx(other.rows[-1]["test_loss"], abs=1e-6)


@pytest.mark.parametrize("sequential", [False, True])
def test_an_evaluation_uses_the_running_statistics_and_leaves_them_alone(sequential, recording):
    """The test loss is that of a network of torch in evaluation mode with the member's weights and statistics."""
    pack = Pack(study(recording, "cnn", training__dtype="float64"), Execution(sequential=sequential))
    train_steps(pack, 6)
    before = pack.states()
    rows = Evaluator(pack).rows()
    assert all(same(one, other) for one, other in zip(before, pack.states(), strict=True))
    test = Evaluator(pack).test
    for place, row in enumerate(rows):
        reference = PlainCNN(3).double()
        reference.output = nn.Linear(24, 4).double()
        kept = pack.weights(place)
        ours = {"mean": "running_mean", "variance": "running_var"}
        for name, value in kept.items():
            owner, _, kind = name.rpartition(".")
            target = getattr(reference.get_submodule(owner), ours.get(kind, kind))
            target.data.copy_(value.view(target.shape))
        x = test.x[place].double() / 127.5 - 1
        loss = functional.cross_entropy(reference.eval()(x), test.y[place])
        assert row["test_loss"] == pytest.approx(loss.item(), abs=1e-6)
        assert abs(functional.cross_entropy(reference.train()(x), test.y[place]).item() - row["test_loss"]) > 1e-3


@pytest.mark.parametrize("model", NORMED)
def test_batch_norms_start_by_doing_nothing(model):
    """Scales of one, shifts of zero, statistics of zero and one."""
    bound, _ = built(model, SMALL, **TINY[model])
    for name, buffer in bound.buffers.items():
        assert (buffer == (0 if name.endswith("mean") else 1)).all()
        scale, shift = (named(bound)[f"{name.rpartition('.')[0]}.{kind}"] for kind in ("weight", "bias"))
        assert (scale == 1).all()
        assert (shift == 0).all()


@pytest.mark.parametrize("model", OF_IMAGES)
def test_weights_are_uniform_within_the_bound_of_what_they_read(model):
    """1 / sqrt(fan_in), as torch's own layers are."""
    bound, _ = built(model, SMALL, **TINY[model])
    for name, weight in named(bound).items():
        if name.endswith("weight") and "norm" not in name:
            assert 0.8 < weight.abs().max() * math.sqrt(weight[0, 0].numel()) <= 1, name


def test_an_mlp_without_batch_norm_is_what_it_was():
    """The setting is off unless asked for, and then adds norms only: other parameters start as they did."""
    plain, normed = (named(built("mlp", SMALL, depth=2, batch_norm=on)[0]) for on in (False, True))
    assert plain.keys() == named(built("mlp", SMALL, depth=2)[0]).keys()
    assert set(normed) - set(plain) == {f"norms.{place}.{kind}" for place in range(2) for kind in ("weight", "bias")}
    assert all(torch.equal(value, normed[name]) for name, value in plain.items())


@pytest.mark.parametrize("model", OF_IMAGES)
def test_models_of_images_refuse_other_inputs(model):
    """The full sentence."""
    sentence = f"model {model!r} reads images, this task gives vector inputs. Use an mlp."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Stack(model, TINY[model], Given(inputs=Vector(6)))


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        ("densenet", {"depth": 12}, "depth must be 4 more than a multiple of 3, got 12. Set model.depth to 10 or 13."),
        ("densenet", {"depth": 7, "bottleneck": True},
         "depth must be 4 more than a multiple of 6, got 7. Set model.depth to 10 or 16."),
        ("vit", {"patch": 3}, "model 'vit' cuts images into patches of 3 x 3, this task's are of 12 x 8. "
         "Set model.patch to one of 1, 2, 4."),
        ("vit", {"width": 10}, "width must be a multiple of heads = 6, got 10. Set model.width to 6."),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(model, settings, sentence):
    """The full sentence, with what would fit."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Stack(model, settings, Given(inputs=Image(3, 12, 8)))


def test_every_model_of_images_is_tested_here():
    """All registered models read images, but for the transformer of tokens."""
    assert set(TINY) == set(registry.names("model")) - {"transformer"}
