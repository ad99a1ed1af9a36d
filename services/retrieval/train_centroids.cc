// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/train_centroids.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <omp.h>

#include <exception>

namespace dki::retrieval {

absl::StatusOr<std::vector<float>> TrainCentroids(int dimension, std::span<const float> samples,
                                                  size_t n_centroids) {
  omp_set_num_threads(1);  // of this thread's teams: requests need the other cores
  try {
    faiss::ClusteringParameters parameters;
    parameters.niter = 8;
    parameters.spherical = true;
    parameters.min_points_per_centroid = 1;  // no warnings on stderr
    parameters.max_points_per_centroid = 1 << 20;
    faiss::Clustering clustering(dimension, static_cast<int>(n_centroids), parameters);
    faiss::IndexFlatIP assignment(dimension);
    clustering.train(static_cast<faiss::Index::idx_t>(samples.size() / dimension), samples.data(),
                     assignment);
    return clustering.centroids;
  } catch (const std::exception& e) {
    return Internal("FAISS cannot cluster: %s", e.what());
  }
}

}  // namespace dki::retrieval
