"""A network of diffusers' by PyTorch or OpenVINO: loads it, then answers each line with a step's milliseconds."""

import argparse
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Unet(torch.nn.Module):
    """A UNet of SDXL's kind with all that it is told as plain arguments."""

    def __init__(self, folder):
        super().__init__()
        self.net = UNet2DConditionModel.from_pretrained(folder)

    def examples(self, side):
        config = self.net.config
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        return (
            torch.randn(2, config.in_channels, side // 8, side // 8),
            torch.tensor(500.0),
            torch.randn(2, 77, config.cross_attention_dim),
            torch.randn(2, pooled),
            torch.randn(2, 6),
        )

    def forward(self, sample, timestep, text, pooled, sizes):
        added = {"text_embeds": pooled, "time_ids": sizes}
        return self.net(sample, timestep, text, added_cond_kwargs=added, return_dict=False)[0]


class Vae(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.net = AutoencoderKL.from_pretrained(folder)

    def examples(self, side):
        return (torch.randn(1, self.net.config.latent_channels, side // 8, side // 8),)

    def forward(self, latents):
        return self.net.decode(latents, return_dict=False)[0]


def by_torch(network, examples, dtype, threads):
    torch.set_num_threads(threads)
    network = network.to(DTYPES[dtype]).to(memory_format=torch.channels_last)
    given = [
        x.to(DTYPES[dtype], memory_format=torch.channels_last if x.dim() == 4 else torch.contiguous_format)
        for x in examples
    ]
    return lambda: network(*given)


def by_openvino(network, examples, dtype, threads):
    import openvino

    shapes = [tuple(x.shape) for x in examples]
    model = openvino.convert_model(network, example_input=examples, input=shapes)
    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    request = openvino.compile_model(model, "CPU", options).create_infer_request()
    given = [x.numpy() for x in examples]
    return lambda: request.infer(given)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["torch", "openvino"])
    parser.add_argument("network", choices=["unet", "vae"])
    parser.add_argument("dtype", choices=DTYPES)
    parser.add_argument("folder")
    parser.add_argument("size", type=int)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    # Lines of answers only: libraries print where they like.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.manual_seed(0)
    network = {"unet": Unet, "vae": Vae}[given.network](given.folder).eval()
    with torch.inference_mode():
        load = {"torch": by_torch, "openvino": by_openvino}[given.engine]
        step = load(network, network.examples(given.size), given.dtype, given.threads)
        for _ in range(2):
            step()
        print("ready", file=answers, flush=True)
        for _ in sys.stdin:
            started = time.perf_counter()
            step()
            print(1000 * (time.perf_counter() - started), file=answers, flush=True)


main()
