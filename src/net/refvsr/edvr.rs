//! EDVR-M's feature extractor (Wang et al., "EDVR", CVPRW 2019), which RefVSR-IR refills its features from at key frames.

use crate::{
    Result,
    image::pad::pad_to,
    layout::{round_up, size},
    net::layers::{
        blocks::ResBlock,
        conv::{Conv, Then},
        deform::DeformPack,
        ops::{bilinear, cat},
        variables::Path,
    },
};
use tch::Tensor;

/// Channels of its features.
pub const CHANNELS: i64 = 64;
/// Frames it looks at, the middle one being the one it describes.
pub const FRAMES: usize = 5;
const CENTRE: usize = FRAMES / 2;
/// Frames are padded to a multiple of so many pixels: there are three levels of halved size.
const MULTIPLE: i64 = 4;

/// A convolution followed by a leaky ReLU (0.1): a `ConvModule`, its key ending in `.conv`.
#[derive(Debug)]
struct Module(Conv);

impl Module {
    fn new(vs: Path<'_>, input: i64, output: i64, k: i64) -> Result<Self> {
        Self::strided(vs, input, output, k, 1)
    }

    fn strided(vs: Path<'_>, input: i64, output: i64, k: i64, stride: i64) -> Result<Self> {
        Ok(Self(Conv::strided(&vs / "conv", input, output, k, stride)?))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.then(&[x], Then::lrelu(0.1))
    }
}

fn enlarged(x: &Tensor) -> Result<Tensor> {
    let (h, w) = size(x);
    bilinear(x, 2 * h, 2 * w, false)
}

/// A frame's features at full, half and quarter size, `[1, 64, H, W]` and so on. A function of one frame.
#[derive(Debug)]
pub struct Levels {
    levels: [Tensor; 3],
    /// The frame's size before padding.
    size: (i64, i64),
}

impl Levels {
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.levels
    }
}

/// The extractor (`edvr`).
#[derive(Debug)]
pub struct Edvr {
    conv_first: Conv,
    feature_extraction: Vec<ResBlock>,
    feat_l2: [Module; 2],
    feat_l3: [Module; 2],
    pcd_alignment: PcdAlignment,
    fusion: TsaFusion,
}

impl Edvr {
    /// `vs` is `edvr`.
    pub fn new(vs: Path<'_>) -> Result<Self> {
        let c = CHANNELS;
        let extraction = &vs / "feature_extraction";
        Ok(Self {
            conv_first: Conv::new(&vs / "conv_first", 3, c, 3)?,
            feature_extraction: (0..5)
                .map(|i| ResBlock::new(&extraction / i, c, 0.0))
                .collect::<Result<_>>()?,
            feat_l2: [
                Module::strided(&vs / "feat_l2_conv1", c, c, 3, 2)?,
                Module::new(&vs / "feat_l2_conv2", c, c, 3)?,
            ],
            feat_l3: [
                Module::strided(&vs / "feat_l3_conv1", c, c, 3, 2)?,
                Module::new(&vs / "feat_l3_conv2", c, c, 3)?,
            ],
            pcd_alignment: PcdAlignment::new(&vs / "pcd_alignment")?,
            fusion: TsaFusion::new(&vs / "fusion")?,
        })
    }

    /// The levels of an RGB frame `[1, 3, H, W]` in \[0, 1\].
    pub fn levels(&self, frame: &Tensor) -> Result<Levels> {
        let (h, w) = size(frame);
        let frame = pad_to(frame, round_up(h, MULTIPLE), round_up(w, MULTIPLE))?;
        let first = self.conv_first.then(&[&frame], Then::lrelu(0.1))?;
        let l1 = self
            .feature_extraction
            .iter()
            .try_fold(first, |x, block| block.forward(&x))?;
        let l2 = self.feat_l2[1].forward(&self.feat_l2[0].forward(&l1)?)?;
        let l3 = self.feat_l3[1].forward(&self.feat_l3[0].forward(&l2)?)?;
        Ok(Levels {
            levels: [l1, l2, l3],
            size: (h, w),
        })
    }

    /// The features of the middle frame as all five see it, `[1, 64, H, W]`.
    pub fn forward(&self, frames: [&Levels; FRAMES]) -> Result<Tensor> {
        let centre = frames[CENTRE];
        let aligned = frames.map(|frame| self.pcd_alignment.forward(&frame.levels, &centre.levels));
        let aligned = aligned.into_iter().collect::<Result<Vec<_>>>()?;
        let (h, w) = centre.size;
        Ok(self
            .fusion
            .forward(&aligned)?
            .f_narrow(2, 0, h)?
            .f_narrow(3, 0, w)?)
    }
}

/// Alignment with pyramid, cascading and deformable convolution.
#[derive(Debug)]
struct PcdAlignment {
    /// From full to quarter size, as all arrays here.
    offset_conv1: [Module; 3],
    offset_conv2: [Module; 3],
    offset_conv3: [Module; 2],
    dcn_pack: [DeformPack; 3],
    feat_conv: (Conv, Module),
    cas_offset_conv1: Module,
    cas_offset_conv2: Module,
    cas_dcnpack: DeformPack,
}

impl PcdAlignment {
    fn new(vs: Path<'_>) -> Result<Self> {
        let c = CHANNELS;
        let module =
            |name: &str, level: &str, input: i64| Module::new(&vs / name / level, input, c, 3);
        let dcn = |level: &str| DeformPack::new(&vs / "dcn_pack" / level, c);
        Ok(Self {
            offset_conv1: [
                module("offset_conv1", "l1", 2 * c)?,
                module("offset_conv1", "l2", 2 * c)?,
                module("offset_conv1", "l3", 2 * c)?,
            ],
            offset_conv2: [
                module("offset_conv2", "l1", 2 * c)?,
                module("offset_conv2", "l2", 2 * c)?,
                module("offset_conv2", "l3", c)?,
            ],
            offset_conv3: [
                module("offset_conv3", "l1", c)?,
                module("offset_conv3", "l2", c)?,
            ],
            dcn_pack: [dcn("l1")?, dcn("l2")?, dcn("l3")?],
            feat_conv: (
                Conv::new(&vs / "feat_conv" / "l1" / "conv", 2 * c, c, 3)?,
                module("feat_conv", "l2", 2 * c)?,
            ),
            cas_offset_conv1: Module::new(&vs / "cas_offset_conv1", 2 * c, c, 3)?,
            cas_offset_conv2: Module::new(&vs / "cas_offset_conv2", c, c, 3)?,
            cas_dcnpack: DeformPack::new(&vs / "cas_dcnpack", c)?,
        })
    }

    /// A neighbour's features moved to where the centre frame has them, at full size.
    fn forward(&self, neighbour: &[Tensor; 3], centre: &[Tensor; 3]) -> Result<Tensor> {
        let first = |level: usize| {
            self.offset_conv1[level].forward(&cat(&[&neighbour[level], &centre[level]])?)
        };
        let refined = |level: usize, coarser: &Tensor| -> Result<Tensor> {
            let coarser = enlarged(coarser)?.f_mul_scalar(2.0)?; // offsets count pixels
            let offset = self.offset_conv2[level].forward(&cat(&[&first(level)?, &coarser])?)?;
            self.offset_conv3[level].forward(&offset)
        };
        let offset3 = self.offset_conv2[2].forward(&first(2)?)?;
        let feature3 = self.dcn_pack[2].forward_lrelu(&neighbour[2], &offset3)?;
        let offset2 = refined(1, &offset3)?;
        let feature2 = self.dcn_pack[1].forward(&neighbour[1], &offset2)?;
        let feature2 = self
            .feat_conv
            .1
            .forward(&cat(&[&feature2, &enlarged(&feature3)?])?)?;
        let offset1 = refined(0, &offset2)?;
        let feature1 = self.dcn_pack[0].forward(&neighbour[0], &offset1)?;
        let feature1 = self
            .feat_conv
            .0
            .forward(&cat(&[&feature1, &enlarged(&feature2)?])?)?;

        let offset = self
            .cas_offset_conv1
            .forward(&cat(&[&feature1, &centre[0]])?)?;
        self.cas_dcnpack
            .forward_lrelu(&feature1, &self.cas_offset_conv2.forward(&offset)?)
    }
}

/// Fusion with temporal and spatial attention.
#[derive(Debug)]
struct TsaFusion {
    temporal_attn1: Conv,
    temporal_attn2: Conv,
    feat_fusion: Module,
    spatial_attn1: Module,
    spatial_attn2: Module,
    spatial_attn3: Module,
    spatial_attn4: Module,
    spatial_attn5: Conv,
    spatial_attn_l1: Module,
    spatial_attn_l2: Module,
    spatial_attn_l3: Module,
    spatial_attn_add1: Module,
    spatial_attn_add2: Conv,
}

impl TsaFusion {
    fn new(vs: Path<'_>) -> Result<Self> {
        let (c, all) = (CHANNELS, FRAMES as i64 * CHANNELS);
        let module = |name: &str, input: i64, k: i64| Module::new(&vs / name, input, c, k);
        let conv = |name: &str, k: i64| Conv::new(&vs / name, c, c, k);
        Ok(Self {
            temporal_attn1: conv("temporal_attn1", 3)?,
            temporal_attn2: conv("temporal_attn2", 3)?,
            feat_fusion: module("feat_fusion", all, 1)?,
            spatial_attn1: module("spatial_attn1", all, 1)?,
            spatial_attn2: module("spatial_attn2", 2 * c, 1)?,
            spatial_attn3: module("spatial_attn3", c, 3)?,
            spatial_attn4: module("spatial_attn4", c, 1)?,
            spatial_attn5: conv("spatial_attn5", 3)?,
            spatial_attn_l1: module("spatial_attn_l1", c, 1)?,
            spatial_attn_l2: module("spatial_attn_l2", 2 * c, 3)?,
            spatial_attn_l3: module("spatial_attn_l3", c, 3)?,
            spatial_attn_add1: module("spatial_attn_add1", c, 1)?,
            spatial_attn_add2: conv("spatial_attn_add2", 1)?,
        })
    }

    /// Five aligned features `[1, 64, H, W]` to one.
    fn forward(&self, aligned: &[Tensor]) -> Result<Tensor> {
        let centre = self.temporal_attn1.forward(&aligned[CENTRE])?;
        let weighted = |feature: &Tensor| -> Result<Tensor> {
            let alike = self.temporal_attn2.forward(feature)?.f_mul(&centre)?;
            Ok(feature.f_mul(
                &alike
                    .f_sum_dim_intlist([1].as_slice(), true, None)?
                    .f_sigmoid()?,
            )?)
        };
        let weighted = Tensor::f_cat(
            &aligned.iter().map(weighted).collect::<Result<Vec<_>>>()?,
            1,
        )?;
        let feature = self.feat_fusion.forward(&weighted)?;

        let attention = self
            .spatial_attn2
            .forward(&halves(&self.spatial_attn1.forward(&weighted)?)?)?;
        let level = self
            .spatial_attn_l2
            .forward(&halves(&self.spatial_attn_l1.forward(&attention)?)?)?;
        let level = enlarged(&self.spatial_attn_l3.forward(&level)?)?;
        let attention = self.spatial_attn3.forward(&attention)?.f_add(&level)?;
        let attention = self
            .spatial_attn5
            .forward(&enlarged(&self.spatial_attn4.forward(&attention)?)?)?;
        let addition = self
            .spatial_attn_add2
            .forward(&self.spatial_attn_add1.forward(&attention)?)?;
        Ok(feature
            .f_mul(&attention.f_sigmoid()?)?
            .f_mul_scalar(2.0)?
            .f_add(&addition)?)
    }
}

/// Half the size, by maximum and by mean, joined.
fn halves(x: &Tensor) -> Result<Tensor> {
    let max = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
    let mean = x.f_avg_pool2d([3, 3], [2, 2], [1, 1], false, true, None)?;
    cat(&[&max, &mean])
}
