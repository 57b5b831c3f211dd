//! Two cameras side by side that film one generated picture, with all that sets them apart. Where
//! the second one looks is known to the pixel.
#![allow(dead_code)] // each test file uses its own part

use super::common::{fill, uniform};
use refvsr::{
    Bundled, ModelConfig, Network,
    config::{Recurrence, Variant},
    net::flow::SpyNet,
};
use std::path::Path;
use tch::{Device, Kind, Tensor, nn::VarStore};

/// The bundled model's flow network, and the store of its weights.
pub fn flow_net() -> (SpyNet, VarStore) {
    let store = VarStore::new(Device::Cpu);
    let net = SpyNet::new((store.root() / "FlowNet").into()).unwrap();
    let checkpoint = Bundled::Quality.checkpoint().unwrap();
    let tensors = checkpoint.tensors();
    for (name, mut variable) in store.variables() {
        // A registered model has it under BasicVSR's names.
        let known = tensors
            .get(&name)
            .or_else(|| tensors.get(&basicvsrs(&name)));
        tch::no_grad(|| variable.copy_(known.unwrap()));
    }
    (net, store)
}

/// BasicVSR's name of a weight of the flow network.
fn basicvsrs(name: &str) -> String {
    match name.split('.').collect::<Vec<_>>()[..] {
        [_, _, level, _, j, _, rest] => {
            let counted = 2 * j.parse::<usize>().unwrap();
            format!("spynet.basic_module.{level}.basic_module.{counted}.{rest}")
        }
        _ => panic!("{name}"),
    }
}

/// Gives a registered network the bundled model's flow network: a generated one sees motion everywhere.
pub fn give_flow(store: &VarStore) {
    let mut variables = store.variables();
    for (name, weights) in flow_net().1.variables() {
        let variable = variables.get_mut(&basicvsrs(&name)).unwrap();
        tch::no_grad(|| variable.copy_(&weights));
    }
}

/// A registered network that adds something of its references, and whose flow network knows its trade.
pub fn registered_network() -> Network {
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 1,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: refvsr::config::FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    let network = Network::new(config, Device::Cpu).unwrap();
    fill(network.weights());
    give_flow(network.weights());
    network
}

/// The same in a file.
pub fn registered_model(folder: &Path) -> String {
    let network = registered_network();
    let path = folder.join("registered.safetensors");
    refvsr::checkpoint::save(&network, &path, tch::Kind::Float).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Numbers of a stream, one after the other.
pub struct Stream(std::vec::IntoIter<f64>);

impl Stream {
    pub fn new(name: &str) -> Self {
        Self(uniform(name, 1 << 14).into_iter())
    }

    /// Uniform between the two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (self.0.next().unwrap() + 1.0) / 2.0 * (high - low)
    }
}

fn noise(name: &str, shape: [i64; 4]) -> Tensor {
    // The sum of three uniform numbers is nearly normal, with a deviation of 1.
    let n = shape.iter().product::<i64>() as usize;
    let all = Tensor::from_slice(&uniform(name, 3 * n)).to_kind(Kind::Float);
    all.view([3, n as i64])
        .sum_dim_intlist([0i64].as_slice(), false, Kind::Float)
        .view(shape)
}

/// Leaves of all sizes, each of its own colour and grain, lying over one another: edges and
/// textures are distributed much as in photographs.
pub fn leaves(name: &str, h: i64, w: i64) -> Tensor {
    let picture = Tensor::full([1, 3, h, w], 0.5, (Kind::Float, Device::Cpu));
    let grain = noise(&format!("{name} grain"), [1, 1, h, w]);
    let grain = grain.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>) * 2.0;
    let mut random = Stream::new(&format!("{name} leaves"));
    for _ in 0..900 {
        // Small ones are many, as far things are.
        let radius = 5.0 * random.between(0.02, 1.0).powf(-0.8);
        let (x, y) = (random.between(0.0, w as f64), random.between(0.0, h as f64));
        let stretch = random.between(0.4, 1.0);
        let turn = random.between(0.0, std::f64::consts::TAU);
        let colour: Vec<f64> = (0..3).map(|_| random.between(0.1, 0.9)).collect();
        let roughness = random.between(0.0, 0.12);
        let cut = |centre: f64, n: i64| {
            let first = ((centre - radius).floor() as i64).clamp(0, n - 1);
            let last = ((centre + radius).ceil() as i64).clamp(first, n - 1);
            (first, last - first + 1)
        };
        let ((top, rows), (left, columns)) = (cut(y, h), cut(x, w));
        let dy = Tensor::arange_start(top, top + rows, (Kind::Float, Device::Cpu))
            .view([1, 1, rows, 1])
            - y;
        let dx = Tensor::arange_start(left, left + columns, (Kind::Float, Device::Cpu))
            .view([1, 1, 1, columns])
            - x;
        let along = &dx * turn.cos() + &dy * turn.sin();
        let across = (&dy * turn.cos() - &dx * turn.sin()) / stretch;
        let leaf = (along.square() + across.square()).le(radius * radius);
        let colour = Tensor::from_slice(&colour)
            .to_kind(Kind::Float)
            .view([1, 3, 1, 1]);
        let surface = colour + grain.narrow(2, top, rows).narrow(3, left, columns) * roughness;
        let mut place = picture.narrow(2, top, rows).narrow(3, left, columns);
        let painted = surface.where_self(&leaf, &place);
        place.copy_(&painted);
    }
    picture.clamp(0.0, 1.0)
}

/// How the second camera stands to the first.
#[derive(Debug, Clone, Copy)]
pub struct Rig {
    pub zoom: f64,
    pub degrees: f64,
    /// In the first one's pixels.
    pub shift: (f64, f64),
    /// By how much near things lie elsewhere, in the first one's pixels.
    pub parallax: f64,
    /// Another gamma and colour matrix, noise in both.
    pub another_look: bool,
}

/// What both cameras saw.
pub struct Shot {
    /// `[1, 3, h, w]`
    pub frame: Tensor,
    /// `[1, 3, h, w]`
    pub reference: Tensor,
    /// For every pixel of the reference, where in the frame it lies: `[1, 2, h, w]`, x then y.
    pub seen: Tensor,
}

fn axes(h: i64, w: i64) -> (Tensor, Tensor) {
    let axis = |n: i64| Tensor::arange(n, (Kind::Float, Device::Cpu));
    (
        axis(w).view([1, 1, w]).expand([1, h, w], false),
        axis(h).view([1, h, 1]).expand([1, h, w], false),
    )
}

/// Pixel positions of a picture, `[1, 2, h, w]`.
pub fn grid(h: i64, w: i64) -> Tensor {
    let (x, y) = axes(h, w);
    Tensor::stack(&[x, y], 1)
}

/// `picture` at positions `[1, 2, H, W]` in its pixels, bicubic or bilinear.
pub fn sample(picture: &Tensor, positions: &Tensor, bicubic: bool) -> Tensor {
    let (h, w) = (picture.size()[2] as f64, picture.size()[3] as f64);
    let x = (positions.select(1, 0) * 2.0 + 1.0) / w - 1.0;
    let y = (positions.select(1, 1) * 2.0 + 1.0) / h - 1.0;
    picture.grid_sampler(
        &Tensor::stack(&[x, y], 3),
        if bicubic { 2 } else { 0 },
        1,
        false,
    )
}

fn blurred(picture: &Tensor, sigma: f64) -> Tensor {
    let kernel = (-4..=4i32)
        .map(|k| (-0.5 * f64::from(k * k) / (sigma * sigma)).exp() as f32)
        .collect::<Vec<_>>();
    let kernel = Tensor::from_slice(&kernel);
    let kernel = &kernel / kernel.sum(Kind::Float);
    let channels = picture.view([3, 1, picture.size()[2], picture.size()[3]]);
    channels
        .replication_pad2d([4, 4, 4, 4])
        .conv2d(&kernel.view([1, 1, 1, 9]), None::<Tensor>, 1, 0, 1, 1)
        .conv2d(&kernel.view([1, 1, 9, 1]), None::<Tensor>, 1, 0, 1, 1)
        .view_as(picture)
}

impl Rig {
    /// Films a picture of four times the cameras' size.
    pub fn film(&self, name: &str, picture: &Tensor) -> Shot {
        let (h, w) = (picture.size()[2] / 4, picture.size()[3] / 4);
        let frame = picture.internal_upsample_bicubic2d_aa([h, w], false, None, None);
        let (x, y) = axes(h, w);
        let (cx, cy) = ((w - 1) as f64 / 2.0, (h - 1) as f64 / 2.0);
        let (u, v) = ((x - cx) / self.zoom, (y - cy) / self.zoom);
        let (cos, sin) = (
            self.degrees.to_radians().cos(),
            self.degrees.to_radians().sin(),
        );
        let x = &u * cos - &v * sin + (cx + self.shift.0);
        let y = &u * sin + &v * cos + (cy + self.shift.1);
        // Near things: three soft bumps in the reference's field, a far background about them.
        let mut random = Stream::new(&format!("{name} rig"));
        let mut parallax = x.zeros_like();
        let wide = 0.08 * w as f64 / self.zoom;
        for _ in 0..3 {
            let (bx, by) = (
                cx + self.shift.0 + random.between(-0.5, 0.5) * w as f64 / self.zoom,
                cy + self.shift.1 + random.between(-0.5, 0.5) * h as f64 / self.zoom,
            );
            let bump = ((&x - bx).square() + (&y - by).square()) / (-2.0 * wide * wide);
            parallax = parallax.maximum(&bump.exp());
        }
        let seen = Tensor::stack(&[x + parallax * self.parallax, y], 1);
        let footprint = blurred(picture, 0.5 * 4.0 / self.zoom * 0.8);
        let mut reference = sample(&footprint, &(&seen * 4.0 + 1.5), true);
        let mut frame = frame;
        if self.another_look {
            let gamma = random.between(0.8, 1.25);
            reference = reference.clamp(1e-4, 1.0).pow_tensor_scalar(gamma);
            let matrix: Vec<f64> = (0..9)
                .map(|k| f64::from(u8::from(k % 4 == 0)) + random.between(-0.06, 0.06))
                .collect();
            let matrix = Tensor::from_slice(&matrix)
                .to_kind(Kind::Float)
                .view([3, 3, 1, 1]);
            reference =
                reference.conv2d(&matrix, None::<Tensor>, 1, 0, 1, 1) + random.between(-0.04, 0.04);
            reference += noise(&format!("{name} reference noise"), [1, 3, h, w]) * 0.01;
            frame += noise(&format!("{name} frame noise"), [1, 3, h, w]) * 0.005;
        }
        let bytes = |x: Tensor| (x.clamp(0.0, 1.0) * 255.0).round() / 255.0;
        Shot {
            frame: bytes(frame),
            reference: bytes(reference),
            seen,
        }
    }
}
