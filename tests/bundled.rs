//! The bundled quality model.

use refvsr::{
    Bundled, Network, Session, SessionOptions, Triplet, image::resize::bicubic_antialiased,
    metrics::psnr,
};
use tch::{Device, Kind, Tensor};

#[test]
fn the_quality_model_loads() {
    let checkpoint = Bundled::Quality.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    assert!(checkpoint.unused(&network).is_empty());
    let config = network.config();
    assert_eq!(
        (
            config.mid_channels,
            config.num_blocks,
            config.frame_num,
            config.scale
        ),
        (64, 30, 7, 4)
    );
    assert_eq!(
        (config.recurrence, config.hd),
        (refvsr::config::Recurrence::Clean, false)
    );
}

/// What its card says of the bundled model, on a picture nobody has to fetch: edges come out sharper than bicubic's.
#[test]
fn the_quality_model_beats_bicubic_enlargement() {
    let checkpoint = Bundled::Quality.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    let options = SessionOptions {
        look_ahead: Some(1),
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    // Slanted bars that move a third of an LR pixel a frame, reduced 4 times.
    let axis = |n: i64| Tensor::arange(n, (Kind::Float, Device::Cpu));
    let truth = |i: i64| {
        let (x, y) = (
            axis(192).view([1, 1, 1, -1]) + i as f64 * 4.0 / 3.0,
            axis(160).view([1, 1, -1, 1]),
        );
        let bars = (&x * 0.35 + &y * 0.12).sin() * 6.0 + (&x * 0.06 - &y * 0.21).cos() * 3.0;
        (bars.sigmoid() * 0.8 + 0.1)
            .expand([1, 3, 160, 192], false)
            .contiguous()
    };
    let (mut ours, mut bicubic) = (0.0, 0.0);
    let mut done = 0;
    for i in 0..3 {
        let lr = bicubic_antialiased(&truth(i), 40, 48)
            .unwrap()
            .clamp(0.0, 1.0);
        let base = lr
            .upsample_bicubic2d([160, 192], false, None, None)
            .clamp(0.0, 1.0);
        bicubic += psnr(&base, &truth(i)).unwrap() / 3.0;
        session
            .send(Triplet {
                ultrawide: lr,
                wide: None,
                tele: None,
            })
            .unwrap();
        if i == 2 {
            session.drain();
        }
        while let Some(out) = session.receive().unwrap().frame() {
            ours += psnr(&out, &truth(done)).unwrap() / 3.0;
            done += 1;
        }
    }
    assert_eq!(done, 3);
    assert!(
        ours > bicubic + 1.5,
        "{ours:.2} dB, bicubic {bicubic:.2} dB"
    );
}
