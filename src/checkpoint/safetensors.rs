//! Safetensors files, with the config as metadata.

use super::{CARRIER, Problem, Tensors, check_finite, malformed, tensor_of};
use crate::{ModelConfig, Network, error::CheckpointProblem};
use ::safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use tch::{Device, Kind};

/// The metadata key that holds the config.
const KEY: &str = "refvsr";
/// The version of its form that this crate writes, and the highest it reads.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Metadata {
    format: u32,
    config: ModelConfig,
}

pub fn parse(bytes: &[u8]) -> Problem<(Tensors, Option<ModelConfig>)> {
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let config = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(KEY))
        .map(|text| parse_config(text))
        .transpose()?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        let kind = kind_of(view.dtype()).ok_or_else(|| CheckpointProblem::WrongType {
            name: name.clone(),
            actual: format!("{:?}", view.dtype()),
        })?;
        let shape = view
            .shape()
            .iter()
            .map(|&d| i64::try_from(d))
            .collect::<Result<Vec<_>, _>>()
            .map_err(malformed)?;
        tensors.insert(name, tensor_of(view.data(), &shape, kind)?);
    }
    Ok((tensors, config))
}

fn parse_config(text: &str) -> Problem<ModelConfig> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let wrong = |e: serde_json::Error| CheckpointProblem::Metadata(e.to_string());
    let Version { format } = serde_json::from_str(text).map_err(wrong)?;
    if format != FORMAT {
        return Err(CheckpointProblem::Metadata(format!(
            "its format is {format}, this version reads format {FORMAT}"
        )));
    }
    Ok(serde_json::from_str::<Metadata>(text)
        .map_err(wrong)?
        .config)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        _ => return None,
    })
}

/// A network as a file's bytes, without a carrier of zeros: it comes back as that.
pub fn bytes_of(network: &Network, kind: Kind) -> Problem<Vec<u8>> {
    let dtype = match kind {
        Kind::Half => Dtype::F16,
        Kind::Float => Dtype::F32,
        other => {
            return Err(CheckpointProblem::WrongType {
                name: "(all)".into(),
                actual: format!("{other:?}"),
            });
        }
    };
    let mut data = BTreeMap::new();
    for (name, variable) in network.weights().variables() {
        let tensor = variable
            .f_detach()
            .and_then(|t| t.f_to_device(Device::Cpu))
            .and_then(|t| t.f_to_kind(kind))
            .map_err(malformed)?;
        check_finite(&name, &tensor)?;
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor
            .f_contiguous()
            .and_then(|t| t.f_copy_data_u8(&mut bytes, tensor.numel()))
            .map_err(malformed)?;
        let shape: Vec<usize> = tensor
            .size()
            .into_iter()
            .filter_map(|d| usize::try_from(d).ok())
            .collect();
        data.insert(name, (shape, bytes));
    }
    let carries = |name: &String| name.starts_with(CARRIER);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    let mut carrier = data.iter().filter(|(name, _)| carries(name));
    if carrier.all(|(_, (_, bytes))| is_zero(bytes)) {
        data.retain(|name, _| !carries(name));
    }
    let views = data
        .iter()
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(dtype, shape.clone(), bytes)?)));
    let views = views
        .collect::<Result<Vec<_>, ::safetensors::SafeTensorError>>()
        .map_err(malformed)?;
    let metadata = serde_json::to_string(&Metadata {
        format: FORMAT,
        config: network.config().clone(),
    })
    .map_err(malformed)?;
    ::safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)])))
        .map_err(malformed)
}
