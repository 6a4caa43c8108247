"""UniVS: image encoder, prompt encoder, mask decoder; three parts, three calls.

    features = model.encode_image(model.normalize(frames))
    tokens = model.encode_masks(features, masks)            # or boxes, points
    prediction = model.decode(features, DecodeRequest(prompts=model.prompt_queries([tokens])))

Pure: no state of any video lives here. Shapes: B clips, T frames, F = B*T, H W pixels of the padded input, N objects,
R L prompt tokens, C channels, D dimension of text embeddings, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.errors import UserError
from univs.masks.geometry import SIZE_MULTIPLE
from univs.models.backbone import Backbone
from univs.models.draws import Draws
from univs.models.features import (
    DecodeRequest,
    ImageFeatures,
    Prediction,
    PromptQueries,
    PromptTokens,
    TextFeatures,
)
from univs.models.mask_decoder import DecoderInputs, MaskDecoder
from univs.models.mask_refiner import MaskRefiner
from univs.models.offers import OFFERS, streaming_numbers
from univs.models.pixel_decoder import DeformablePixelDecoder, LightPixelDecoder
from univs.models.prompt_answers import PromptAnswers, PromptedMasks
from univs.models.swin import SwinBackbone
from univs.models.text_prompts import TextPrompter
from univs.models.visual_sampler import SampledMap, VisualSampler, time_embedding
from univs.models.word_head import WordHead

if TYPE_CHECKING:
    from univs.models.dense_memory import DenseMemory


class UniVS(nn.Module):
    """One model for every prompt (Li et al., UniVS, CVPR 2024).

    Args:
        backbone, pixel_decoder: images -> features.
        visual_sampler: visual prompts -> tokens and initial queries.
        mask_decoder: queries -> masks.
        dense_memory: per-object residual on the mask features, or None.
        text_prompter: texts -> tokens and initial queries, or None for a model that takes no words.
        word_head: what each cell is, in words and boxes, or None (official): see `word_answers`.
        prompt_answers: several answers to a prompt, or None (official) for one.
        mask_refiner: a closer look at what a prompt meant, or None (official).
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_model`).
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: Backbone | SwinBackbone,
        pixel_decoder: LightPixelDecoder | DeformablePixelDecoder,
        visual_sampler: VisualSampler,
        mask_decoder: MaskDecoder,
        dense_memory: DenseMemory | None = None,
        text_prompter: TextPrompter | None = None,
        word_head: WordHead | None = None,
        prompt_answers: PromptAnswers | None = None,
        mask_refiner: MaskRefiner | None = None,
        *,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.pixel_decoder = backbone, pixel_decoder
        self.visual_sampler, self.mask_decoder, self.dense_memory = visual_sampler, mask_decoder, dense_memory
        self.text_prompter, self.word_head, self.prompt_answers = text_prompter, word_head, prompt_answers
        self.mask_refiner = mask_refiner
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).float().view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).float().view(3, 1, 1), persistent=False)
        self.config = dict(config or {})
        if dense_memory is not None:  # so that the residual acts through a known direction from the first step on
            nn.init.ones_(mask_decoder.mask_embedding.last.bias)

    @property
    def looks_closer(self) -> bool:
        """Whether it takes a closer look at what boxes show, and has learnt to."""
        return self.mask_refiner is not None and bool(self.mask_refiner.learnt)

    @property
    def streaming(self) -> dict[str, Any]:
        """Its own numbers for following objects through a video (`offers.streaming_numbers`)."""
        return streaming_numbers(self.config.get("streaming", {}))

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Task -> way of following -> who follows, and by which settings."""
        return OFFERS

    def ready(self, precision: str, compiled: bool) -> UniVS:
        """The fast form of it that sessions share (`prepared`)."""
        from univs.models.prepared import prepared  # which knows this class

        return prepared(self, precision, compiled)

    def normalize(self, frames: Tensor) -> Tensor:
        """F 3 H' W' RGB, uint8 or 0..255 -> normalised, then zero padded right and below to multiples of 32."""
        height, width = frames.shape[-2:]
        normalised = (frames.float() - self.pixel_mean) / self.pixel_std
        return F.pad(normalised, (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE))

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Features of F 3 H W normalised, padded images."""
        return self.pixel_decoder(self.backbone(images))

    def encode_masks(
        self,
        features: ImageFeatures,
        masks: Tensor,
        frame_index: int = 0,
        draws: Draws | None = None,
        tokens: int | None = None,
        extremes: bool = False,
    ) -> PromptTokens:
        """Tokens of masks or rasterised scribbles on one frame, or on F frames (N/F on each, frame by frame).

        Args:
            features: of those frames.
            masks: N H W of the padded input, bool or 0..1; an all-zero mask is an absent object.
            frame_index: the frame's index in the video.
            draws: random choices; by default the choice is fixed and well spread.
            tokens: R; None: as many as the model was made for.
            extremes: the outermost cells are among them.
        """
        source = self._sampled_map(features, frame_index)
        return self.visual_sampler.encode_masks(source, masks, draws, tokens, extremes=extremes)

    def encode_boxes(
        self,
        features: ImageFeatures,
        boxes: Tensor,
        frame_index: int = 0,
        draws: Draws | None = None,
        tokens: int | None = None,
        moved: Tensor | None = None,
        extremes: bool = False,
    ) -> PromptTokens:
        """Tokens of boxes N 4 (xyxy in pixels of the padded input) on one frame; arguments as in `encode_masks`.

        `moved` N 4: boxes whose cells are read in place of theirs.
        """
        source = self._sampled_map(features, frame_index)
        return self.visual_sampler.encode_boxes(source, boxes, draws, tokens, moved=moved, extremes=extremes)

    def encode_points(
        self,
        features: ImageFeatures,
        points: Tensor,
        labels: Tensor,
        frame_index: int = 0,
        tokens: int | None = None,
    ) -> PromptTokens:
        """Tokens of points on one frame.

        Args:
            features, frame_index: as in `encode_masks`; so is tokens, where the model repeats points.
            points: N P 2, (x, y) in pixels of the padded input; pixel centres lie at .5.
            labels: N P, 1 positive, 0 negative, -1 padding. Raises UserError for a negative point where the model has
                no sign embedding (official weights).
        """
        return self.visual_sampler.encode_points(self._sampled_map(features, frame_index), points, labels, tokens)

    def prepare(self, features: ImageFeatures) -> DecoderInputs:
        """What the mask decoder reads of F frames: for frames that are decoded more than once."""
        return self.mask_decoder.prepare(features)

    def prompt_queries(
        self, tokens: Sequence[PromptTokens], initial: Sequence[PromptTokens] | None = None
    ) -> PromptQueries:
        """The prompt stream of one clip (B = 1; `PromptQueries.clips` makes several of the objects of several).

        Args:
            tokens: the memory of the N objects, read by ProCA on every frame of the clip.
            initial: for each of the T frames the tokens whose mean becomes the initial query and its position; None:
                all `tokens`, for a clip of one frame.
        """
        memory = PromptTokens.cat(tokens)
        starts = [memory] if initial is None else list(initial)
        query, position = (
            torch.stack([_mean(values(start), start.valid) for start in starts], dim=1)[None]
            for values in (_features, _positions)
        )
        query = query + self.visual_sampler.prompt_sot
        blank = None if not self.mask_decoder.masks_blank_tokens else memory.valid[None, :, None]
        return PromptQueries(query, position, memory.features[None, :, None], memory.positions[None, :, None], blank)

    def text_prompts(self, features: ImageFeatures, text: TextFeatures, clip_length: int = 1) -> PromptQueries:
        """The prompt stream of N expressions, asked of each of B clips.

        What a frame makes of an expression depends on that frame alone: prompts made for single frames are joined by
        `PromptQueries.over_time`.

        Args:
            features: of B*T frames, clip after clip.
            text: of the N expressions, from the text encoder this model was trained with.
            clip_length: T.
        Raises UserError if the model takes no words.
        """
        return self._prompter().expressions(self._cells(features), text, clip_length)

    def category_prompts(
        self, features: ImageFeatures, class_embeddings: Tensor, clip_length: int = 1
    ) -> PromptQueries:
        """The prompt stream of N categories, class_embeddings N D as stored; otherwise as `text_prompts`."""
        return self._prompter().categories(self._cells(features), class_embeddings, clip_length)

    def decode(self, features: ImageFeatures | Sequence[DecoderInputs], request: DecodeRequest) -> Prediction:
        """What the last layer of the mask decoder predicts.

        Args:
            features: of B*T frames, clip after clip; or what `prepare` made of them, in one piece or in several.
            request: what is asked of them.
        Raises ValueError for frames that do not divide into clips of the request's length.
        """
        return self.mask_decoder(self._inputs(features), request)[-1]

    def decode_layers(
        self, features: ImageFeatures | Sequence[DecoderInputs], request: DecodeRequest
    ) -> list[Prediction]:
        """What is predicted before layer 0 and after each layer, for training; otherwise as `decode`."""
        return self.mask_decoder(self._inputs(features), request, every_layer=True)

    def decode_answers(
        self, features: ImageFeatures | DecoderInputs, request: DecodeRequest, rows: Sequence[int] | None = None
    ) -> tuple[list[Prediction], PromptedMasks]:
        """What `decode_layers` predicts, and several answers of the last layer (`PromptAnswers`).

        Args:
            features: of B clips of one frame.
            request: with the prompts of N objects.
            rows: which of the N are to have several answers; None: all.
        Raises ValueError for a model that gives one answer to a prompt, for clips of several frames and for a request
        without prompts.
        """
        if self.prompt_answers is None:
            raise ValueError("this model gives one answer to a prompt: its numbers have no prompt_answers")
        inputs = self.prepare(features) if isinstance(features, ImageFeatures) else features
        return self.prompt_answers(self.mask_decoder, inputs, request, rows)

    def refine(self, squares: Tensor, said: Tensor) -> Tensor:
        """A closer look at N objects (`mask_refiner`): their mask logits, N S/4 S/4.

        Args:
            squares: N 3 S S normalised, cut from the frames around the objects.
            said: N 4 S/4 S/4, what is known of them (`said_maps`).
        Raises ValueError for a model that takes no closer look.
        """
        if self.mask_refiner is None:
            raise ValueError("this model takes no closer look at objects: its numbers have no mask_refiner")
        seen = self.backbone if self.mask_refiner.trunk is None else self.mask_refiner.trunk
        return self.mask_refiner(seen(squares), said)

    def _inputs(self, features: ImageFeatures | Sequence[DecoderInputs]) -> Sequence[DecoderInputs]:
        return [self.prepare(features)] if isinstance(features, ImageFeatures) else features

    def _prompter(self) -> TextPrompter:
        if self.text_prompter is None:
            name = self.config.get("name", "given")
            raise UserError(f"the model {name} takes no words: its weights have no text part")
        return self.text_prompter

    def _cells(self, features: ImageFeatures) -> Tensor:
        """All cells of the three levels, with level embedding and without positions: F hw C."""
        levels = zip(features.levels, self.mask_decoder.level_embed, strict=True)
        return torch.cat([level.flatten(2).transpose(1, 2) + embedding for level, embedding in levels], dim=1)

    def _sampled_map(self, features: ImageFeatures, frame_index: int) -> SampledMap:
        """The 1/8 level of the frames as the visual sampler reads it."""
        decoder, level = self.mask_decoder, features.levels[2]
        with torch.no_grad():
            time = time_embedding([frame_index], decoder.dim, decoder.time, level.device)[0]
            return SampledMap(level + decoder.level_embed[2][:, None, None], time)


def _features(tokens: PromptTokens) -> Tensor:
    return tokens.features


def _positions(tokens: PromptTokens) -> Tensor:
    return tokens.positions


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid tokens: N R C, N R -> N C; zero where there are none (invalid tokens are zero)."""
    return values.sum(1) / valid.sum(1, keepdim=True).clamp_min(1)
